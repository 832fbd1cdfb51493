"""acknowledge.lua: what PostgreSQL has committed leaves the stream, and the judged sum does not move (law L2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from ratelimit import counters, scripts
from ratelimit.counters import Counter, Entry
from ratelimit.limiter import StaleFacts
from ratelimit.servers.single import Command, Store
from ratelimit.store import client
from tests.effort import examples
from tests.ratelimit.account import MONTH_MS, WINDOW_STARTS_AT_MS, Account, Wants, quota

TOKENS = quota(None)


def waiting(account: Account) -> list[bytes]:
    """Ids of the stream entries that are not drained yet, oldest first."""
    return [stream_id for stream_id, _ in client().xrange(account.keys.stream)]


def pending(account: Account) -> int:
    return int(client().hget(account.keys.quota(WINDOW_STARTS_AT_MS), "p") or 0)


def charge(account: Account, *costs: int) -> list[Entry]:
    """Charge these, and return the entries as a drain would acknowledge them."""
    for cost in costs:
        account.admit(Wants(TOKENS, cost))
    ids = waiting(account)[-len(costs) :]
    return [Entry(stream_id, 0, cost) for stream_id, cost in zip(ids, costs, strict=True)]


def acknowledge(account: Account, told: list[Counter], entries: list[Entry]) -> int:
    return counters.acknowledge(account.store, account.keys.stream, told, entries)


def test_the_sum_stands_still_while_entries_move_to_the_counter(account: Account) -> None:
    entries = charge(account, 3, 4, 5)
    assert acknowledge(account, [account.counter(7, 1)], entries[:2]) == 2
    assert (account.used(TOKENS), pending(account), len(waiting(account))) == (12, 5, 1)
    assert acknowledge(account, [account.counter(12, 2)], entries[2:]) == 1
    assert (account.used(TOKENS), pending(account), waiting(account)) == (12, 0, [])


def test_a_duplicate_delivery_lowers_pending_once(account: Account) -> None:
    entries = charge(account, 3, 4)
    told = [account.counter(7, 1)]
    assert acknowledge(account, told, [*entries, entries[0]]) == 2
    assert acknowledge(account, told, entries) == 0
    assert (account.used(TOKENS), pending(account)) == (7, 0)


def test_a_late_acknowledgement_does_not_replace_a_newer_counter(account: Account) -> None:
    entries = charge(account, 3)
    account.published(account.counter(50, 9))
    assert acknowledge(account, [account.counter(3, 1)], entries) == 1
    assert account.used(TOKENS) == 50


def test_a_charge_and_its_void_cancel_out(account: Account) -> None:
    charge(account, 8)
    account.void(Wants(TOKENS, 8), "event")
    ids = waiting(account)
    entries = [Entry(ids[0], 0, 8), Entry(ids[1], 0, -8)]
    assert acknowledge(account, [account.counter(0, 2)], entries) == 2
    assert (account.used(TOKENS), pending(account), waiting(account)) == (0, 0, [])


def test_an_entry_set_aside_leaves_and_moves_no_counter(account: Account) -> None:
    client().xadd(account.keys.stream, {"e": "nonsense"})
    charge(account, 3)
    ids = waiting(account)
    entries = [Entry(ids[0], None, 0), Entry(ids[1], 0, 3)]
    assert acknowledge(account, [account.counter(3, 1)], entries) == 2
    assert (account.used(TOKENS), pending(account)) == (3, 0)


def test_the_accounts_and_windows_of_a_shard_are_told_apart(store: Store) -> None:
    account = Account(store).published()
    neighbour = Account(store, account.number + 64).published()
    following = quota(None, WINDOW_STARTS_AT_MS + MONTH_MS)
    account.admit(Wants(TOKENS, 1))
    neighbour.admit(Wants(TOKENS, 2))
    account.admit(Wants(following, 4))
    told = [account.counter(1, 1), neighbour.counter(2, 1), account.counter(4, 1, following)]
    entries = [Entry(stream_id, i, 2**i) for i, stream_id in enumerate(waiting(account))]
    assert acknowledge(account, told, entries) == 3
    assert (account.used(TOKENS), neighbour.used(TOKENS), account.used(following)) == (1, 2, 4)


def test_after_a_flush_the_counter_is_lifted_and_nothing_goes_below_it(account: Account, server: Any) -> None:
    entries = charge(account, 3)
    server.flushall()
    assert isinstance(account.ask(Wants(TOKENS, 1)), StaleFacts)
    assert acknowledge(account, [account.counter(3, 1)], entries) == 0
    assert account.published().used(TOKENS) == 3


def test_a_counter_that_has_expired_is_not_left_behind(account: Account, server: Any) -> None:
    past = quota(None, WINDOW_STARTS_AT_MS - 3 * MONTH_MS)
    account.admit(Wants(past, 5))
    entries = [Entry(waiting(account)[0], 0, 5)]
    assert acknowledge(account, [account.counter(5, 1, past)], entries) == 1
    assert not server.exists(account.keys.quota(WINDOW_STARTS_AT_MS - 3 * MONTH_MS))


@examples(40, 400)
@given(
    costs=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    deliveries=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=8),
)
def test_whatever_is_delivered_twice_the_sum_is_what_was_charged(
    store: Store, costs: list[int], deliveries: list[tuple[int, int]]
) -> None:
    client().flushall()
    account = Account(store).published()
    entries = charge(account, *costs)
    committed: set[int] = set()
    for revision, (first, last) in enumerate([*deliveries, (0, len(costs))], start=1):
        batch = range(min(first, last), min(max(first, last) + 1, len(costs)))
        committed |= set(batch)  # PostgreSQL keeps each event once
        committed_tokens = sum(costs[i] for i in committed)
        acknowledge(account, [account.counter(committed_tokens, revision)], [entries[i] for i in batch])
        assert account.used(TOKENS) == sum(costs)
    assert (pending(account), waiting(account)) == (0, [])


BAD_ENTRIES = [("1e3-0", "1", "1"), ("", "1", "1"), ("1-1", "2", "1"), ("1-1", "nan", "1"), ("1-1", "1", "0x10")]


@pytest.mark.parametrize("entry", [*BAD_ENTRIES, ("1-1", "1", "nan"), ("1-1", "-1", "1"), ("1-1", "1", "")])
def test_a_malformed_entry_is_an_error_and_nothing_changes(account: Account, everything: Any, entry: Any) -> None:
    good = charge(account, 3)[0]
    counter = account.counter(3, 1)
    before = everything()
    stream_id, position, tokens = entry
    arguments = [1, 3, 1, counter.ends_at_ms, good.stream_id, 1, 3, stream_id, position, tokens]
    with pytest.raises(ResponseError, match=r"not an id|not a|no such quota"):
        account.store.run(Command(scripts.ACKNOWLEDGE, [account.keys.stream, counter.key], arguments))
    assert everything() == before


@pytest.mark.parametrize("field", ["committed", "revision"])
def test_a_malformed_counter_is_an_error_and_nothing_changes(account: Account, everything: Any, field: str) -> None:
    entries = charge(account, 3)
    before = everything()
    with pytest.raises(ResponseError, match="not a"):
        acknowledge(account, [account.counter(3, 1)._replace(**{field: "nan"})], entries)
    assert everything() == before


@pytest.mark.parametrize("which", ["stream", "quota"])
def test_a_key_of_another_type_is_an_error_and_nothing_changes(
    account: Account, server: Any, everything: Any, which: str
) -> None:
    entries = charge(account, 3)
    name = account.keys.stream if which == "stream" else account.keys.quota(WINDOW_STARTS_AT_MS)
    server.delete(name)
    server.sadd(name, "member")
    before = everything()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        acknowledge(account, [account.counter(3, 1)], entries)
    assert everything() == before
