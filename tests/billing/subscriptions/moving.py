"""A subscriber who is moved as one of many."""

from __future__ import annotations

from datetime import datetime

from billing.models import Plan, Subscription
from billing.subscriptions.bulk import moves, work


def move_all(subscription: Subscription, target: Plan, when: str, now: datetime) -> None:
    """Tried first and then done; who pays less now keeps the lower price."""
    move = moves.begin(moves.Order(subscription.plan, target, when, True, "x"), now)
    assert work.work_off(move, lambda: now)
    foreseen = moves.tally(move)
    assert work.work_off(moves.confirm(move, now), lambda: now)
    assert moves.tally(move).sums == foreseen.sums, "a preview says what is billed"
