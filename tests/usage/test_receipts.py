"""PostgreSQL's memory of Idempotency-Keys: what the drain brings, what a void frees, what Redis is told again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ratelimit.keys import AccountKeys, receipt_digest
from ratelimit.store import client
from tests.conftest import Customer
from tests.usage.histories import MARCH, charge, put
from usage import ingest, receipts
from usage.events import Event
from usage.models import Receipt

pytestmark = pytest.mark.django_db
ACCOUNT = 7
KEY = receipt_digest("k")
AT = datetime.fromtimestamp(MARCH, UTC)


def keyed(at_ms: int = MARCH * 1000 + 5, key: str = KEY) -> Event:
    return charge(ACCOUNT, at_ms=at_ms)._replace(receipt=key, fingerprint="f" * 32)


def drained(*events: Event) -> None:
    put(*events, shard=ACCOUNT)
    ingest.drain()


def held() -> set[str]:
    return {str(receipt.event_id) for receipt in Receipt.objects.all()}


def test_a_drained_charge_opens_it_for_a_day() -> None:
    event = keyed()
    drained(event, charge(ACCOUNT))
    receipt = Receipt.objects.get()
    assert (receipt.account_id, receipt.key, receipt.fingerprint, receipt.runs) == (ACCOUNT, KEY, "f" * 32, 1)
    assert (str(receipt.event_id), bytes(receipt.audit)) == (event.charge, event.encode())
    assert receipt.expires_at == AT + timedelta(days=1, milliseconds=5)


@pytest.mark.parametrize("together", [True, False])
def test_a_void_frees_the_key(together: bool) -> None:
    first, second = keyed(), keyed(MARCH * 1000 + 9)
    history = [first, first.voided(MARCH * 1000 + 6), second]
    if together:
        drained(*history)
    else:
        for event in history:
            drained(event)
    assert held() == {second.charge}
    drained(second.voided(MARCH * 1000 + 10))
    assert held() == set()


def test_delivered_twice_it_does_not_come_back() -> None:
    event = keyed()
    ingest.record([event.voided(MARCH * 1000 + 6)])
    drained(event)
    assert held() == set()


def test_the_later_charge_keeps_the_key() -> None:
    """The earlier one arrives late: it was made before Redis was lost, and the key was sold again without it."""
    earlier, later = keyed(), keyed(MARCH * 1000 + 9)
    assert receipts.open_one(later, AT)
    drained(earlier)
    assert held() == {later.charge}


@pytest.mark.parametrize(("seconds", "free"), [(-1, False), (0, True), (1, True)])
def test_a_key_is_free_again_after_a_day(seconds: int, free: bool) -> None:
    event = keyed()
    assert receipts.open_one(event, AT)
    later = AT + timedelta(days=1, milliseconds=5, seconds=seconds)
    assert (receipts.find(ACCOUNT, KEY, later) is None) is free
    assert receipts.open_one(keyed(MARCH * 1000 + 9), later) is free


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_purging_leaves_the_live_ones(batch: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(receipts, "PURGE_BATCH", batch)
    events = [keyed(MARCH * 1000 + offset, key=f"{offset:032}") for offset in range(4)]
    for event in events:
        receipts.open_one(event, AT)
    assert receipts.purge(AT + timedelta(days=1, milliseconds=2)) == 3
    assert held() == {events[3].charge}


def test_redis_is_told_the_newest_and_not_more_than_it_can_take(bob: Customer, monkeypatch: Any) -> None:
    monkeypatch.setattr(receipts, "MOST_RECALLED", 2)
    events = [keyed(MARCH * 1000 + offset, key=f"{offset:032}") for offset in range(4)]
    for event in events:
        receipts.open_one(event, AT)
    assert receipts.recall(ACCOUNT, AT) == 2
    keys = AccountKeys(ACCOUNT)
    assert [client().exists(keys.receipt_of(event.receipt)) for event in events] == [0, 0, 1, 1]
    assert receipts.recall(ACCOUNT, AT) == 0
    assert receipts.recall(ACCOUNT + 64, AT) == 0
