"""Start-up checks of settings that name a host product's own code: what they name can be imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from billing.erasure.erasers import FUNCTIONS, erasers
from billing_site.operations.checks.start import ENFORCEMENT


@register(ENFORCEMENT)
def check_outbox_consumers(**_: Any) -> Iterable[CheckMessage]:
    for name, path in settings.OUTBOX_CONSUMERS.items():
        try:
            import_string(path)
        except ImportError as error:
            hint = "Let OUTBOX_CONSUMERS map names to paths of callables that take a message."
            yield Error(f"The outbox's consumer {name!r} is not there: {error}.", hint=hint, id="billing_site.E014")


@register(ENFORCEMENT)
def check_payment_methods(**_: Any) -> Iterable[CheckMessage]:
    """A path that leads nowhere would only show when the first trial ends."""
    path = settings.BILLING_HAS_PAYMENT_METHOD
    try:
        if path:
            import_string(path)
    except ImportError as error:
        hint = "Let BILLING_HAS_PAYMENT_METHOD be the path of a function, or empty."
        yield Error(f"Nobody says who has a payment method: {error}.", hint=hint, id="billing_site.E017")


@register(ENFORCEMENT)
def check_account_erasers(**_: Any) -> Iterable[CheckMessage]:
    try:
        lacking = [f"{each}: {name}" for each in erasers() for name in FUNCTIONS if not hasattr(each, name)]
    except ImportError as error:
        lacking = [str(error)]
    if lacking:
        hint = f"Let ACCOUNT_ERASERS name modules with {', '.join(FUNCTIONS)}, as usage.erasure."
        yield Error(f"Nobody can be erased, or deleted: {'; '.join(lacking)}.", hint=hint, id="billing_site.E018")
