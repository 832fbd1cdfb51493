"""acknowledge_head.lua: a whole run of entries leaves at once, or nothing happens where any may have left before."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import counters, scripts
from ratelimit.counters import Pending
from ratelimit.servers.single import Command
from ratelimit.store import client
from tests.ratelimit.account import WINDOW_STARTS_AT_MS, Account, Wants, quota
from tests.ratelimit.test_acknowledge import charge, pending, waiting

TOKENS = quota(None)


def acknowledge_head(account: Account, ids: list[bytes], tokens: int, committed: int, revision: int = 1) -> bool:
    settled = [(account.counter(committed, revision), Pending().plus(tokens))]
    return counters.acknowledge_head(account.store, account.keys.stream, ids[0], ids[-1], settled)


def test_the_sum_stands_still_while_a_run_moves_to_the_counter(account: Account) -> None:
    charge(account, 3, 4, 5)
    ids = waiting(account)
    assert acknowledge_head(account, ids[:2], 7, 7)
    assert (account.used(TOKENS), pending(account), waiting(account)) == (12, 5, ids[2:])
    assert acknowledge_head(account, ids[2:], 5, 12, 2)
    assert (account.used(TOKENS), pending(account), waiting(account)) == (12, 0, [])


def test_a_charge_and_its_void_cancel_out(account: Account) -> None:
    charge(account, 8)
    account.void(Wants(TOKENS, 8), "event")
    assert acknowledge_head(account, waiting(account), 0, 0)
    assert (account.used(TOKENS), pending(account), waiting(account)) == (0, 0, [])


def test_a_later_counter_is_not_replaced(account: Account) -> None:
    charge(account, 3)
    account.published(account.counter(50, 9))
    assert acknowledge_head(account, waiting(account), 3, 3)
    assert account.used(TOKENS) == 50


def test_entries_of_no_counter_leave_too(account: Account) -> None:
    client().xadd(account.keys.stream, {"e": "nonsense"})
    ids = waiting(account)
    assert counters.acknowledge_head(account.store, account.keys.stream, ids[0], ids[0], [])
    assert waiting(account) == []


@pytest.mark.parametrize("gone", [[0], [1], [2], [0, 1], [0, 1, 2]])
def test_nothing_happens_where_one_of_them_has_been_deleted(account: Account, everything: Any, gone: list[int]) -> None:
    charge(account, 3, 4, 5)
    ids = waiting(account)
    client().xdel(account.keys.stream, *(ids[i] for i in gone))
    before = everything()
    assert not acknowledge_head(account, ids, 12, 12)
    assert everything() == before


def test_nor_where_the_head_was_trimmed_away(account: Account, everything: Any) -> None:
    charge(account, 3, 4, 5)
    ids = waiting(account)
    assert acknowledge_head(account, ids[:1], 3, 3)
    before = everything()
    assert not acknowledge_head(account, ids[:2], 7, 7, 2)
    assert everything() == before


def test_nor_where_a_crash_has_lost_the_last_ones(account: Account, everything: Any) -> None:
    charge(account, 3, 4)
    ids = waiting(account)
    milliseconds, _, _ = ids[-1].partition(b"-")
    before = everything()
    assert not acknowledge_head(account, [*ids, b"%d-0" % (int(milliseconds) + 9)], 12, 12)
    assert everything() == before


def test_nor_after_a_flush(account: Account, server: Any) -> None:
    charge(account, 3)
    ids = waiting(account)
    server.flushall()
    assert not acknowledge_head(account, ids, 3, 3)
    assert server.keys() == []


def test_what_was_deleted_before_them_does_not_matter(account: Account) -> None:
    charge(account, 3, 4)
    first, second = waiting(account)
    client().xdel(account.keys.stream, first)
    assert acknowledge_head(account, [second], 4, 7)
    assert (account.used(TOKENS), waiting(account)) == (10, [])


@pytest.mark.parametrize("arguments", [("x", "1-1"), ("1-1", ""), ("1", "1-1"), ("-1-1", "1-1")])
def test_a_malformed_id_is_an_error_and_nothing_changes(account: Account, everything: Any, arguments: Any) -> None:
    charge(account, 3)
    before = everything()
    with pytest.raises(ResponseError, match="not an id"):
        account.store.run(Command(scripts.ACKNOWLEDGE_HEAD, [account.keys.stream], arguments))
    assert everything() == before


@pytest.mark.parametrize("place", range(4))
def test_a_malformed_counter_is_an_error_and_nothing_changes(account: Account, everything: Any, place: int) -> None:
    charge(account, 3)
    ids = waiting(account)
    arguments: list[Any] = [ids[0], ids[0], 3, 1, account.counter(3, 1).ends_at_ms, 3]
    arguments[2 + place] = "nan"
    before = everything()
    with pytest.raises(ResponseError, match="not a"):
        name = account.keys.quota(WINDOW_STARTS_AT_MS)
        account.store.run(Command(scripts.ACKNOWLEDGE_HEAD, [account.keys.stream, name], arguments))
    assert everything() == before
