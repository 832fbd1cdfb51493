"""What the environment says of chains: the operator's extended public keys, and where a node answers.

Both by chain id, CHAIN_XPUBS and CHAIN_RPC_URLS. Without a key nothing can be paid on a chain. They are no rows: who
gets into the admin could lead customers' money elsewhere by changing a key.
"""

from __future__ import annotations

from django.conf import settings

from billing.models import Chain, Token


def xpub_of(chain: Chain) -> str:
    """Empty where there is none."""
    found: str = settings.CHAIN_XPUBS.get(str(chain.chain_id), "")
    return found


def rpc_url_of(chain: Chain) -> str:
    """Empty where there is none. It may hold a secret: never shown, never logged."""
    found: str = settings.CHAIN_RPC_URLS.get(str(chain.chain_id), "")
    return found


def is_on() -> bool:
    """Whether any chain is configured. Where none is, nobody asks the database about them."""
    return bool(settings.CHAIN_XPUBS)


def payable(currency: str | None = None) -> list[Token]:
    """Tokens in which an invoice of this currency, or of any, can be paid now."""
    if not is_on():
        return []
    found = Token.objects.payable()
    if currency is not None:
        found = found.filter(currency=currency)
    return [token for token in found if xpub_of(token.chain)]
