"""Why a reported event is not recorded, as its sender is told."""

from __future__ import annotations

from django.conf import settings

from usage.ingest.record import AHEAD
from usage.ingest.reported import Reason


def sentence(reason: Reason) -> str:
    return {
        Reason.UNKNOWN_ACCOUNT: "There is no such account.",
        Reason.UNKNOWN_FEATURE: "There is no such feature.",
        Reason.TOO_OLD: f"Its time is more than {settings.LATE_EVENT_DAYS} days ago.",
        Reason.MONTH_CLOSED: "Its month has left the usage log.",
        Reason.IN_FUTURE: f"Its time is more than {AHEAD.seconds // 60} minutes ahead.",
    }[reason]
