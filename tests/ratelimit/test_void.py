"""void.lua: a charge's tokens are given back once, with a compensating event in the same step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import counters, scripts
from ratelimit.limiter import VOID_MARKER_LIFE_MS, Voided
from ratelimit.limits import Outcome
from ratelimit.servers.single import Command
from tests.ratelimit.account import MONTH_MS, WINDOW_STARTS_AT_MS, Account, Wants, minute, quota

COST = Wants(quota(100), 10)


def events(account: Account, server: Any) -> list[bytes]:
    return [fields[b"e"] for _, fields in server.xrange(account.keys.stream)]


def test_a_void_gives_the_tokens_back_once(account: Account, server: Any) -> None:
    account.admit(COST, event="e")
    assert account.void(COST, "e")[0] is Voided.VOIDED
    status, standing = account.void(COST, "e")
    assert (status, standing.used) == (Voided.ALREADY, 0)
    assert account.used(quota(100)) == 0
    assert events(account, server) == [b"audit", b"void"]


def test_of_many_voids_at_once_one_succeeds(account: Account, server: Any) -> None:
    account.admit(COST, event="e")
    with ThreadPoolExecutor(16) as pool:
        answers = [future.result()[0] for future in [pool.submit(account.void, COST, "e") for _ in range(32)]]
    assert sorted(answers) == [Voided.VOIDED] + [Voided.ALREADY] * 31
    assert account.used(quota(100)) == 0
    assert events(account, server) == [b"audit", b"void"]


def test_the_freed_tokens_can_be_spent_again(account: Account) -> None:
    account.admit(Wants(quota(100), 100), event="e")
    assert account.admit(COST).outcome is Outcome.REFUSED
    account.void(Wants(quota(100), 100), "e")
    assert account.admit(Wants(quota(100), 100)).outcome is Outcome.ADMITTED


def test_a_charge_of_zero_tokens_is_voided_like_any_other(account: Account, server: Any) -> None:
    account.admit(Wants(quota(100), 0), event="e")
    assert account.void(Wants(quota(100), 0), "e")[0] is Voided.VOIDED
    assert account.void(Wants(quota(100), 0), "e")[0] is Voided.ALREADY
    assert events(account, server) == [b"audit", b"void"]


def test_a_void_may_come_after_its_charge_was_drained_or_lost(account: Account, server: Any) -> None:
    status, standing = account.void(COST, "e")
    assert (status, standing.used, standing.remaining) == (Voided.VOIDED, -10, 110)
    account.published(account.counter(10, 1))
    assert account.used(quota(100)) == 10  # whether the counter holds the void is known when it is drained
    ((stream_id, _),) = server.xrange(account.keys.stream)
    drained = counters.Entry(stream_id, 0, -10)
    counters.acknowledge(account.store, account.keys.stream, [account.counter(0, 2)], [drained])
    assert account.used(quota(100)) == 0


def test_a_minute_that_was_used_stays_used(account: Account) -> None:
    account.admit(Wants(minute(5), 1), COST, event="e")
    account.void(COST, "e")
    assert account.used(minute(5)) == 1
    with pytest.raises(ValueError, match="only a quota"):
        account.void(Wants(minute(5), 1), "e")


def test_the_marker_outlives_the_hour_in_which_a_void_may_be_asked_for(account: Account, server: Any) -> None:
    account.void(COST, "e")
    assert VOID_MARKER_LIFE_MS - 60_000 < server.pttl(account.keys.void_marker("e")) <= VOID_MARKER_LIFE_MS
    assert VOID_MARKER_LIFE_MS > 3_600_000


def test_a_void_in_a_window_long_past_is_an_event_and_no_counter(account: Account, server: Any) -> None:
    past = quota(100, WINDOW_STARTS_AT_MS - 3 * MONTH_MS)
    assert account.void(Wants(past, 10), "e")[0] is Voided.VOIDED
    assert events(account, server) == [b"void"]
    assert not server.exists(account.keys.quota(WINDOW_STARTS_AT_MS - 3 * MONTH_MS))


def test_a_void_asks_no_fence(account: Account) -> None:
    account.admit(COST, event="e")
    account.at(9, 9).published()
    assert account.void(COST, "e")[0] is Voided.VOIDED


@pytest.mark.parametrize("place", [0, 3, 4], ids=["tokens", "marker's life", "expiry"])
@pytest.mark.parametrize("text", [b"nan", b"0x10", b"1e3", b" 5 ", b"-1", b"", str(2**53).encode(), b"1" * 16])
def test_what_is_no_natural_number_is_an_error_and_nothing_changes(
    account: Account, everything: Any, place: int, text: bytes
) -> None:
    keyed = account.keyed("k")
    account.admit(COST, event="e", keyed=keyed)
    before = everything()
    keys = account.keys
    names = [keys.quota(WINDOW_STARTS_AT_MS), keys.stream, keys.void_marker("e"), keyed.record]
    arguments: list[Any] = [b"10", b"void", b"e", b"1000", quota(None).ends_at_ms]
    arguments[place] = text
    with pytest.raises(ResponseError, match="not a natural number"):
        account.store.run(Command(scripts.VOID, names, arguments))
    assert everything() == before


@pytest.mark.parametrize("which", ["quota", "stream", "record"])
def test_a_key_of_another_type_is_an_error_and_nothing_changes(
    account: Account, server: Any, everything: Any, which: str
) -> None:
    keyed = account.keyed("k")
    account.admit(COST, event="e", keyed=keyed)
    keys = {"quota": account.keys.quota(WINDOW_STARTS_AT_MS), "stream": account.keys.stream, "record": keyed.record}
    server.delete(keys[which])
    server.sadd(keys[which], "member")
    before = everything()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        account.void(COST, "e", keyed)
    assert everything() == before
