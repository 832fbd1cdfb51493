"""Tokens above the quota under parallel clients, faults and late events: exactly what was admitted is billed, once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone

from billing.invoicing import ledger
from billing.models import Subscription, WindowOverage
from billing.subscriptions.overage import cap
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained
from tests.billing.metered import make_metered, overage_lines, use
from tests.billing.sale import lift_minute
from tests.cast import Customer, call
from tests.factories import at, make_subscription, money
from tests.outages import no_redis
from tests.usage.without_redis import redis_is_back
from usage.drain import batch, drain
from usage.metering.voiding import void_tracked_charge
from usage.models import WindowUsage

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = 64
TRACK = "/api/v1/usage/track"


@pytest.fixture
def mia(customer: Callable[..., Customer]) -> Customer:
    """1,005 tokens a period, then up to 2,000 more at 10.00 for 1,000; a call takes 10."""
    make_metered(monthly_token_quota=1_005, overage_cap_tokens=2_000, overage_price=10, requests_per_minute=None)
    return customer("mia", "metered", scope="meter")


def ends(customer: Customer) -> datetime:
    found: datetime = Subscription.objects.live().get(account=customer.user).period_ends_at
    return found


def storm(customer: Customer, calls: int, meanwhile: Callable[[], None] = lambda: None) -> int:
    """How many of `calls` by each of 64 clients at once are admitted."""
    start = Barrier(CLIENTS + 1)

    def client(_: int) -> int:
        start.wait()
        try:
            return sum(call(customer, "trace_start").admitted for _ in range(calls))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLIENTS) as threads:
        admitted = [threads.submit(client, number) for number in range(CLIENTS)]
        start.wait()
        meanwhile()
        return sum(each.result() for each in admitted)


def billed(customer: Customer) -> tuple[int, Any]:
    """Tokens by the rows, and the sum of the lines."""
    tokens = sum(WindowOverage.objects.filter(account=customer.user).values_list("tokens", flat=True))
    return tokens, sum(amount for _, amount in overage_lines(customer.account))


def close(customer: Customer) -> None:
    assert renewal.renew_due(ends(customer)).renewed == 1
    assert_explained(Subscription.objects.live().get(account=customer.user))


def test_quota_and_cap_are_admitted_to_the_last_call_and_just_that_is_billed(mia: Customer) -> None:
    assert storm(mia, 6) == 300, "3,005 tokens hold 300 calls of 10; 384 were made"
    close(mia)
    assert billed(mia) == (1_995, money("19.95"))
    assert [amount for _, amount in overage_lines(mia.account)] == [billed(mia)[1]]


def test_the_cap_is_raised_and_lowered_while_calls_are_in_flight(mia: Customer) -> None:
    def set_caps() -> None:
        for tokens in (0, 2_500, 100, None, 1_000):
            cap.set_cap(mia.account, tokens, timezone.now())

    storm(mia, 6, set_caps)
    while call(mia, "trace_start").admitted:
        pass
    drain.drain()
    used = WindowUsage.objects.get(account_id=mia.account).tokens
    assert 2_000 <= used <= 1_005 + 2_500, "the last cap, or more that an earlier one let pass"
    close(mia)
    assert billed(mia)[0] == used - 1_005


def spend(customer: Customer, calls: int = 150) -> None:
    assert all(call(customer, "trace_start").admitted for _ in range(calls))


def test_a_close_while_redis_is_gone_bills_what_it_held_with_the_next_one(mia: Customer, settings: Any) -> None:
    spend(mia)
    with no_redis(settings):
        close(mia)
    assert billed(mia) == (0, 0)
    assert redis_is_back() is None
    drain.drain()
    close(mia)
    close(mia)
    assert billed(mia) == (495, money("4.95"))
    assert overage_lines(mia.account)[0][0].startswith("Late: 495 tokens above the quota of ")


def test_a_drain_that_is_killed_before_it_acknowledges_bills_nothing_twice(
    mia: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(mia)
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):

        def die(*_: Any) -> None:
            raise KeyboardInterrupt

        killed.setattr(batch, "_acknowledge", die)
        drain.drain()
    close(mia)
    drain.drain()
    close(mia)
    assert billed(mia) == (495, money("4.95"))
    assert len(overage_lines(mia.account)) == 1


def test_what_is_voided_after_the_close_is_given_back(mia: Customer) -> None:
    spend(mia, 100)
    event = mia.post(TRACK, {"feature": "trace_start"}).json()["event"]
    close(mia)
    assert billed(mia) == (5, money("0.05"))
    void_tracked_charge(mia.account, UUID(event), timezone.now())
    drain.drain()
    close(mia)
    assert billed(mia) == (0, 0)
    assert [amount for _, amount in overage_lines(mia.account)] == [money("0.05"), money("-0.05")]
    assert ledger.balance(mia.account, "USD") == 0, "it was not paid: less is due"


def test_without_redis_quota_and_cap_are_enforced_as_strictly(mia: Customer, settings: Any) -> None:
    lift_minute(mia)
    cap.set_cap(mia.account, 20, timezone.now())
    spend(mia, 100)
    drain.drain()
    with no_redis(settings):
        answers = [call(mia, "trace_start") for _ in range(4)]
        assert [answer.admitted for answer in answers] == [True, True, False, False]
    assert answers[-1].quota.limit.maximum == 1_025


def test_four_closers_at_once_bill_each_window_once(customer: Callable[..., Customer], catalogue: None) -> None:
    plan, start = make_metered(), at("2025-10-01")
    accounts = [make_subscription(plan, start).account_id for _ in range(20)]
    for account in accounts:
        use(account, 3_000, at("2025-10-16"))
    gate = Barrier(4)

    def beat(_: int) -> None:
        gate.wait()
        try:
            renewal.renew_due(at("2025-11-01"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(beat, range(4)))
    assert [overage_lines(account) for account in accounts] == [
        [("2,000 tokens above the quota at 0.50 per 1,000", money(1))]
    ] * 20
