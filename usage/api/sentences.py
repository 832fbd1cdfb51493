"""What people are told of a suggestion."""

from __future__ import annotations

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from billing.rules.entitlements.suggestion import Kind, Suggestion


def reason_of(suggestion: Suggestion) -> str:
    """Why it is made, and what it is: two or three sentences, in the language of the page; the API's are English."""
    way = suggestion.way
    why = _("At this pace you will have used %(tokens)s tokens by %(date)s, and %(included)s are included.") % {
        "tokens": _number(suggestion.tokens),
        "date": date_format(timezone.localtime(suggestion.ends_at), "DATE_FORMAT"),
        "included": _number(suggestion.included),
    }
    if way.kind is Kind.PACK and way.pack is not None:
        what = _("%(count)s × %(pack)s on top cover it at the least cost.")
        named = {"count": way.packs, "pack": way.pack.name}
    elif way.kind is Kind.OVERAGE:
        what = _("Tokens above the quota cover it at the least cost: raise your cap to %(cap)s.")
        named = {"cap": _number(way.cap_tokens or 0)}
    elif way.plan.monthly_token_quota is None:
        what, named = _("Tokens are unlimited on %(plan)s."), {"plan": way.plan.name}
    else:
        what = _("%(plan)s includes %(quota)s.")
        named = {"plan": way.plan.name, "quota": _number(way.plan.monthly_token_quota)}
    return f"{why} {what % named}"


def _number(value: int) -> str:
    return str(number_format(value, force_grouping=True))
