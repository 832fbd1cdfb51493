"""Start-up checks of payments in stablecoins. Nothing configured: nothing is imported, nothing asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from billing_site.operations.checks.start import ENFORCEMENT


@register(ENFORCEMENT)
def check_deposit_keys(**_: Any) -> Iterable[CheckMessage]:
    """A private key has no business here: this process could be made to give it away."""
    if not settings.CHAIN_XPUBS:
        return
    from billing.payments.chains.addresses import NotAPublicKey, check_xpub

    for chain_id, xpub in settings.CHAIN_XPUBS.items():
        try:
            check_xpub(xpub)
        except NotAPublicKey as error:
            hint = f"CHAIN_XPUBS, chain {chain_id}: {error}. If it is a private key, move the money to another one."
            yield Error("What should be an extended public key is none.", hint=hint, id="billing_site.E026")
    if len(set(settings.CHAIN_XPUBS.values())) < len(settings.CHAIN_XPUBS):
        yield Error(
            "Two chains share an extended public key: their addresses would be the same.",
            hint="Give each chain in CHAIN_XPUBS an account of its own in the wallet.",
            id="billing_site.E027",
        )
