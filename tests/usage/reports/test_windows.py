"""What billing asks of usage: tokens of many windows in one query, and what Redis holds, where it can be had."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.billing.metered import use
from tests.cast import Customer, call
from tests.outages import no_redis
from usage.drain import drain
from usage.log.store import record_without_redis
from usage.models import WindowUsage
from usage.reports.windows import catch_up, used_tokens

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def window_of(customer: Customer) -> datetime:
    found: datetime = WindowUsage.objects.get(account_id=customer.account).starts_at
    return found


def test_whole_windows_and_parts_of_them(alice: Customer, bob: Customer, django_assert_num_queries: Any) -> None:
    now = timezone.now().replace(microsecond=0)
    for customer in (alice, bob):
        use(customer.account, 10, now)
        use(customer.account, 5, now + SECOND)
    start = window_of(alice)
    asked = [(alice.account, start, None), (bob.account, start, now + SECOND), (bob.account, start, now)]
    unused = (alice.account, datetime(2001, 1, 1, tzinfo=UTC), None)
    with django_assert_num_queries(2):
        used = used_tokens([*asked, unused])
    assert used == {asked[0]: 15, asked[1]: 10}, "what is unused is left out"
    with django_assert_num_queries(0):
        assert used_tokens([]) == {}


def test_a_void_counts_where_its_charge_does(alice: Customer) -> None:
    now = timezone.now().replace(microsecond=0)
    event = use(alice.account, 10, now)
    record_without_redis([event.voided(event.at_ms + 5000)])
    window = alice.account, window_of(alice), now + SECOND
    assert used_tokens([window]) == {window: 0}


@pytest.mark.django_db(transaction=True)
def test_what_redis_holds_is_brought_along(alice: Customer, bob: Customer, settings: Any) -> None:
    call(alice, "trace_start")
    with no_redis(settings):
        catch_up([alice.account, bob.account])
    assert not WindowUsage.objects.exists()
    catch_up([bob.account])
    assert drain.backlog(), "another shard's"
    catch_up([alice.account])
    assert WindowUsage.objects.get().tokens == 10
