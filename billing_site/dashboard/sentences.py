"""Refusals as a page says them: the API's sentences, but where those tell of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.api.sentences import SENTENCES, sentence
from billing.rules.refused import Refused

_AT_PERIOD_END: Final = _("%(target)s can only follow when the present period ends.")
_SHOWN_ANEW: Final = _("Something has changed since you looked. This is how it stands now.")
ON_PAGES: Final[Mapping[str, Promise]] = {
    "currency_mismatch": _AT_PERIOD_END,
    "interval_mismatch": _AT_PERIOD_END,
    "next_period": _AT_PERIOD_END,
    "no_subscription": _("You have no plan at the moment. Choose one."),
    "active_features": _("These are in use and not part of the plan: %(capabilities)s"),
    "activity_unknown": _("What you have used lately is not known at this moment. Please try again."),
    "coupon_invalid.another_active": _("Another coupon discounts your next periods. Give it up first."),
    "quote_expired.old": _("More than 15 minutes have passed. This is how it stands now."),
    "quote_expired.price": _SHOWN_ANEW,
    "quote_expired.tax": _SHOWN_ANEW,
    "quote_expired.credit": _SHOWN_ANEW,
    "quote_expired.coupon": _SHOWN_ANEW,
    "quote_expired.subscription": _SHOWN_ANEW,
    "quote_expired.period": _SHOWN_ANEW,
    "quote_expired.digest": _SHOWN_ANEW,
}


def on_page(refused: Refused) -> str:
    return sentence({**SENTENCES, **ON_PAGES}, refused)
