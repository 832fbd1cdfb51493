"""Finds out what was spent of top-ups that have lapsed, once, and stores it: see `billing.rules.tokens.top_ups`.

What was used of a window up to an instant is asked of the function that BILLING_USED_UNTIL names. Until every call of
before the lapse must have arrived, what it says is kept in this process alone, and is asked for again; so it also is
when PostgreSQL or Redis is out of reach. What nobody knows to be spent counts as not spent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils.module_loading import import_string

from billing.fence.fenced import push_on_commit
from billing.fence.push import fence_version
from billing.models import TokenTopUp
from billing.rules.entitlements.entitlement import Facts, window_at
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.periods import Period
from billing.rules.tokens.top_ups import TopUp, edges_until, of_window, spent_of
from ratelimit.scripts import ARRIVED_AFTER

logger = logging.getLogger(__name__)
TRIED_AGAIN_AFTER = timedelta(seconds=5)


def are_uncounted(facts: Facts, plans: Mapping[str, PlanOffer], now: datetime) -> bool:
    """Whether something is to be counted before anybody can say what the account may do at `now`."""
    lapsed = [top_up for top_up in facts.top_ups if top_up.is_uncounted(now)]
    return bool(lapsed) and bool(of_window(lapsed, window_at(facts, plans, now)))


def counted(facts: Facts, plans: Mapping[str, PlanOffer], now: datetime) -> Facts:
    """The facts with what was spent of each lapsed top-up of the present window, as far as it can be known now."""
    window = window_at(facts, plans, now)
    try:
        known = _count(_Account(facts.account, facts.version), of_window(facts.top_ups, window), window, now, now)
    except (OperationalError, InterfaceError) as error:
        logger.warning("what account %s has spent of its top-ups is not known yet: %s", facts.account, error)
        return postponed(facts, now)
    return _with(facts, known)


def count_closed(account: int, window: Period, now: datetime) -> None:
    """Count what was spent of the top-ups that lapsed within a window that has ended: for those who bill it.

    Not within a transaction. While Redis is out of reach it stays unknown. Raises django's OperationalError.
    """
    version = fence_version(account)
    rows = TokenTopUp.objects.filter(account=account, starts_at__gte=window.start, starts_at__lt=window.end)
    top_ups, last = [row.terms for row in rows], window.end - timedelta.resolution
    if any(top_up.is_uncounted(last) for top_up in top_ups):
        _count(_Account(account, version), top_ups, window, last, now)


def postponed(facts: Facts, now: datetime) -> Facts:
    """The facts with what is known so far of top-ups that have lapsed: it is to be counted later."""
    again_at = now + TRIED_AGAIN_AFTER
    due = [top_up for top_up in facts.top_ups if top_up.is_uncounted(now)]
    return _with(facts, {top_up: replace(top_up, spent=top_up.spent or 0, count_again_at=again_at) for top_up in due})


class _Account(NamedTuple):
    """`version` is of before its top-ups were read."""

    number: int
    version: int


def _count(
    account: _Account, top_ups: Sequence[TopUp], window: Period, until: datetime, now: datetime
) -> dict[TopUp, TopUp]:
    """Those that have lapsed by `until` and were not counted, and what they are now that they are."""
    used_until, is_complete = import_string(settings.BILLING_USED_UNTIL)(
        account.number, window, edges_until(top_ups, until)
    )
    known = {
        top_up: replace(top_up, spent=spent, count_again_at=_again_at(top_up, now, is_complete))
        for top_up, spent in zip(top_ups, spent_of(top_ups, used_until), strict=True)
        if top_up.is_uncounted(until)
    }
    _store(account, [top_up for top_up in known.values() if top_up.count_again_at is None])
    return known


def _again_at(top_up: TopUp, now: datetime, is_complete: bool) -> datetime | None:
    assert top_up.expires_at is not None
    arrived_at = top_up.expires_at + ARRIVED_AFTER
    if not is_complete:
        return now + TRIED_AGAIN_AFTER
    return None if arrived_at <= now else arrived_at


def _store(account: _Account, top_ups: Sequence[TopUp]) -> None:
    """Unless somebody has changed the account since its top-ups were read: then whoever sees that counts anew."""
    if not top_ups:
        return
    rows = TokenTopUp.objects.filter(pk__in=[top_up.row for top_up in top_ups], spent=None)
    with transaction.atomic():
        # Locked before the version is compared: a reset, an event that is reported late, or a change of a top-up takes
        # what is stored here back. Each of them locks the rows, counted or not, until the fence that it raises is seen.
        list(rows.select_for_update().order_by("pk"))
        if fence_version(account.number) != account.version:
            return
        for top_up in top_ups:
            rows.filter(pk=top_up.row).update(spent=top_up.spent)
        push_on_commit(account.number)


def _with(facts: Facts, known: Mapping[TopUp, TopUp]) -> Facts:
    return replace(facts, top_ups=tuple(known.get(top_up, top_up) for top_up in facts.top_ups))
