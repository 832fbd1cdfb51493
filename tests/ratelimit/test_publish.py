"""publish.lua: Redis learns PostgreSQL's counters by revision, and nothing older replaces anything newer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from ratelimit import counters, scripts
from ratelimit.counters import Record
from ratelimit.keys import key_digest
from ratelimit.limits import Outcome
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS
from ratelimit.servers.single import Command, Store
from tests.effort import examples
from tests.ratelimit.account import MONTH_MS, NOW_MS, WINDOW_STARTS_AT_MS, Account, Wants, quota


def test_what_postgresql_knows_is_judged(account: Account) -> None:
    account.published(account.counter(95, 1))
    assert account.admit(Wants(quota(100), 6)).outcome is Outcome.REFUSED
    assert account.admit(Wants(quota(100), 5)).standings[0].used == 100


@examples(60, 600)
@given(st.lists(st.tuples(st.integers(-50, 10**15), st.integers(1, 6)), min_size=1, max_size=10))
def test_the_newest_revision_holds_in_whatever_order_they_come(store: Store, tellings: list[tuple[int, int]]) -> None:
    account = Account(store)
    newest = (0, 0)
    for committed, revision in tellings:
        account.published(account.counter(committed, revision))
        if revision > newest[1]:
            newest = (committed, revision)
        assert account.used(quota(None)) == newest[0]


def test_records_of_keys_come_with_the_fences(account: Account, server: Any) -> None:
    """To a Redis that loses everything in between either all is published or nothing."""
    keyed = account.keyed("k")
    known = Record(keyed.record, keyed.fingerprint, "first", b"its audit", None, 1, NOW_MS + MONTH_MS)
    server.flushall()
    counters.publish(account.store, account.keys, account.versions, [account.counter(10, 1)], [known])
    rerun = account.admit(Wants(quota(10), 6), keyed=keyed, event="second")
    assert (rerun.outcome, rerun.event, rerun.standings[0].used) == (Outcome.RERUN, "first", 10)
    assert server.hget(keyed.record, "n") == b"2"


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5, 9, 10, 11])
def test_what_is_no_number_publishes_nothing(account: Account, at: int, everything: Any) -> None:
    words: list[Any] = [*account.versions, 1, 10, 1, NOW_MS, b"print", b"first", b"audit", NOW_MS, 1, NOW_MS]
    words[at] = b"nan"
    keys = account.keys
    quota_key, record = keys.quota(WINDOW_STARTS_AT_MS), keys.record(key_digest("k"))
    names = [keys.fence, keys.catalogue_fence, quota_key, record, keys.void_marker("first")]
    before = everything()
    with pytest.raises(ResponseError):
        account.store.run(Command(scripts.PUBLISH, names, words))
    assert everything() == before


def test_publishing_leaves_pending_alone(account: Account) -> None:
    account.admit(Wants(quota(None), 7))
    account.published(account.counter(100, 3))
    account.published(account.counter(50, 2))
    account.published(account.counter(50, 3))
    assert account.used(quota(None)) == 107


@pytest.mark.parametrize("counter_holds_it", [True, False])
def test_a_pending_void_that_the_counter_may_hold_makes_no_room(
    account: Account, server: Any, counter_holds_it: bool
) -> None:
    account.published(account.counter(10, 1))
    account.void(Wants(quota(None), 10), "e")
    assert account.used(quota(None)) == 0
    # The drain has committed and died, or this is old data; or the void is new, and calls were decided without Redis.
    committed = 0 if counter_holds_it else 30
    for _ in range(2):
        account.published(account.counter(committed, 3))
        assert account.used(quota(None)) == committed
    ((stream_id, _),) = server.xrange(account.keys.stream)
    drained = account.counter(0, 3) if counter_holds_it else account.counter(20, 4)
    counters.acknowledge(account.store, account.keys.stream, [drained], [counters.Entry(stream_id, 0, -10)])
    assert account.used(quota(None)) == drained.committed


@pytest.mark.parametrize("pending", [9, 10, 11])
def test_nor_does_it_beside_pending_charges(account: Account, server: Any, pending: int) -> None:
    """The drain has committed the void alone and died: 10 charged, voided, and `pending` charged since."""
    account.published(account.counter(10, 1))
    account.void(Wants(quota(None), 10), "e")
    account.admit(Wants(quota(None), pending))
    account.published(account.counter(0, 2))
    assert account.used(quota(None)) == pending
    (void, _), (charge, _) = server.xrange(account.keys.stream)
    entries = [counters.Entry(void, 0, -10), counters.Entry(charge, 0, pending)]
    counters.acknowledge(account.store, account.keys.stream, [account.counter(pending, 3)], entries)
    assert account.used(quota(None)) == pending
    account.published(account.counter(0, 4))
    assert account.used(quota(None)) == 0, "nothing is pending any more"


def test_a_pending_void_is_judged_as_it_is_while_the_counter_is_known(account: Account) -> None:
    account.published(account.counter(10, 1))
    account.void(Wants(quota(None), 10), "e")
    account.published(account.counter(10, 1))
    assert account.used(quota(None)) == 0


def test_several_windows_are_published_at_once(account: Account) -> None:
    this, following = quota(100), quota(100, WINDOW_STARTS_AT_MS + MONTH_MS)
    account.published(account.counter(10, 1, this), account.counter(20, 1, following))
    assert (account.used(this), account.used(following)) == (10, 20)


def test_a_published_counter_expires_after_its_window(account: Account, server: Any) -> None:
    account.published(account.counter(10, 1))
    expires_at_ms = server.pexpiretime(account.keys.quota(WINDOW_STARTS_AT_MS))
    assert expires_at_ms == quota(None).ends_at_ms + KEPT_AFTER_WINDOW_MS


def test_a_window_long_past_is_not_kept(account: Account, server: Any) -> None:
    past = quota(None, WINDOW_STARTS_AT_MS - 3 * MONTH_MS)
    account.published(account.counter(10, 1, past))
    assert not server.exists(account.keys.quota(WINDOW_STARTS_AT_MS - 3 * MONTH_MS))


@pytest.mark.parametrize("field", ["committed", "revision", "ends_at_ms"])
@pytest.mark.parametrize("text", ["nan", "0x10", "1e3", " 5 ", "", "inf", str(2**53 + 1), "1" * 17])
def test_a_counter_that_is_no_number_is_an_error_and_nothing_changes(
    account: Account, everything: Any, field: str, text: str
) -> None:
    if field == "ends_at_ms":  # it is added to in Python, which wants a number
        bad = account.counter(1, 2)._replace(ends_at_ms=10**15)
    else:
        bad = account.counter(1, 2)._replace(**{field: text})
    good = account.counter(7, 7, quota(None, WINDOW_STARTS_AT_MS + MONTH_MS))
    before = everything()
    for both in ([good, bad], [bad, good]):
        with pytest.raises(ResponseError, match="not a"):
            account.at(2, 2).published(*both)
        assert everything() == before


def test_a_counter_of_another_type_is_an_error_and_nothing_changes(
    account: Account, server: Any, everything: Any
) -> None:
    following = quota(None, WINDOW_STARTS_AT_MS + MONTH_MS)
    server.set(account.keys.quota(WINDOW_STARTS_AT_MS + MONTH_MS), "text")
    before = everything()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        account.at(2, 2).published(account.counter(1, 2), account.counter(1, 2, following))
    assert everything() == before
