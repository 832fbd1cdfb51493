"""Gives an account its quota of the present usage window anew, as staff decide."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Sum

from billing.entitlements import snapshots
from billing.models import TokenTopUp
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.ids import mint
from billing.rules.instants import to_ms
from billing.rules.periods import Period
from usage.drain import drain
from usage.log.events import RESET, STAFF, Event
from usage.log.store import record_reset
from usage.models import FeatureUsage, Reservation, ThresholdCrossed, UsageReset, WindowUsage


class NothingUsed(Exception):
    """There is nothing to give back: the window is unused."""


def _held(account: int, window: Period) -> dict[str, int]:
    """Tokens of open reservations, by feature: their ends give back what they do not need."""
    opened = Reservation.objects.filter(
        account=account, state=Reservation.State.OPEN, opened_at__gte=window.start, opened_at__lt=window.end
    )
    return dict(opened.values_list("feature").annotate(Sum("bound")))


def reset_usage(account: int, now: datetime, *, reason: str, by: str) -> UsageReset:
    """Take back all that the account has used of its present window; it acts on the next call.

    Days and calls of the history stay: that was used. A call that is in flight at this moment and fails gives its
    tokens back once more. A caller with a transaction of its own calls `drain.catch_up` before it, and then
    `reset_caught_up`. Raises NothingUsed, and drain.Behind while Redis has calls that the log has not.
    """
    drain.catch_up(account)
    return reset_caught_up(account, now, reason=reason, by=by)


def reset_caught_up(account: int, now: datetime, *, reason: str, by: str) -> UsageReset:
    """`reset_usage` of an account whose log is up to now. Raises NothingUsed."""
    now_ms = to_ms(now)
    window = snapshots.snapshot(account, now_ms).entitlement.window
    with transaction.atomic():
        # In the order of everybody who moves these sums: the window, then its features.
        counter = WindowUsage.objects.select_for_update().filter(account_id=account, starts_at=window.start).first()
        used = FeatureUsage.objects.select_for_update().filter(account_id=account, window_starts_at=window.start)
        held = _held(account, window)
        features = [
            (feature, tokens - held.get(feature, 0))
            for feature, tokens in used.exclude(tokens=0).order_by("feature").values_list("feature", "tokens")
            if tokens > held.get(feature, 0)
        ]
        if counter is None or not features:
            raise NothingUsed
        # What was spent of top-ups that have lapsed is unused now, and lapsed: it is counted anew. Before the fence,
        # as everybody takes these rows.
        TokenTopUp.objects.filter(account=account, starts_at__gte=window.start).update(spent=None)
        record_reset(
            [
                Event(
                    charge=mint(now_ms),
                    kind=RESET,
                    account=account,
                    window_start=to_ms(counter.starts_at) // 1000,
                    window_end=to_ms(counter.ends_at) // 1000,
                    feature=feature,
                    tokens=-tokens,
                    at_ms=now_ms,
                    source=STAFF,
                )
                for feature, tokens in features
            ]
        )
        ThresholdCrossed.objects.filter(account=account, window_starts_at=window.start).delete()  # told anew
        given_back = sum(tokens for _, tokens in features)
        reset = UsageReset.objects.create(
            account_id=account,
            window_starts_at=window.start,
            tokens=given_back,
            reason=reason,
            reset_at=now,
            reset_by=by,
        )
        record(Happened.USAGE_RESET, account, reset=reset.pk, tokens=given_back)
    return reset
