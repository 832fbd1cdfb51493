"""The mail about a log-in from a place that the account was not seen at before."""

from __future__ import annotations

from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, instant
from billing.models import KnownPlace, OutboxMessage


def new_place(message: OutboxMessage) -> Draft | None:
    place = KnownPlace.objects.filter(pk=message.payload["place"]).first()
    if place is None:
        return None  # forgotten since
    facts = [
        (_("On"), instant(message.recorded_at)),
        (_("Browser"), place.browser or _("unknown")),
        (_("Network"), place.network or _("unknown")),
    ]
    return Draft("new_place", {}, facts, Link(_("Change the password"), "/accounts/password/change/"))
