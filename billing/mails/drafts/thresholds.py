"""The notice that a part of the quota, or the cap on what is sold above it, is used."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils import timezone
from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, instant, number
from billing.models import OutboxMessage
from billing.rules.tokens.overage import shown_price


def crossed(message: OutboxMessage) -> Draft | None:
    said = message.payload
    ends_at = datetime.fromisoformat(said["window_ends_at"])
    if ends_at <= timezone.now():
        return None  # a new window has begun, with all of its tokens
    is_all, sells_more = said["percent"] == 100, "overage_price" in said and said["limit"] == "included"
    context = {
        "percent": said["percent"],
        "used": number(said["used"]),
        "tokens": number(said["tokens"]),
        "at": instant(ends_at),
        "is_cap": said["limit"] == "cap",
        "is_all": is_all,
        "sells_more": sells_more,
    }
    facts = [
        (_("Tokens used"), number(said["used"])),
        (_("Tokens in all") if said["limit"] == "cap" else _("Tokens included"), number(said["tokens"])),
        (_("Counted anew from"), instant(ends_at)),
    ]
    if sells_more:
        price = shown_price(Decimal(said["overage_price"]), said["currency"])
        facts.append((_("1,000 tokens more cost"), f"{price} {said['currency']}"))
        facts.append((_("At most so many more"), number(said["cap_tokens"])))
    return Draft("threshold", context, facts, Link(_("Look at your plan"), "/dashboard/plans/"))
