"""correct_pending.lua: pending and counter put right in one step, or nothing when a call came in between."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import counters, scripts
from ratelimit.counters import Pending
from ratelimit.limits import RedisQuota
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS
from ratelimit.servers.single import Command
from ratelimit.store import client
from tests.ratelimit.account import MONTH_MS, WINDOW_STARTS_AT_MS, Account, Wants, quota

TOKENS = quota(None)


def key_of(account: Account) -> bytes:
    return account.keys.quota(WINDOW_STARTS_AT_MS)


def read(account: Account) -> tuple[bytes, RedisQuota]:
    last, (held,) = counters.read_quotas(account.store, account.keys.stream, [key_of(account)])
    return last, held


def correct(account: Account, seen: tuple[bytes, RedisQuota], pending: int, revision: int = 3) -> bool:
    counter = account.counter(7, revision)
    return counters.correct_pending(account.store, account.keys.stream, counter, *seen, Pending(pending))


def test_pending_and_a_newer_counter_in_one_step(account: Account) -> None:
    account.admit(Wants(TOKENS, 5))
    client().hincrby(key_of(account), "p", 90)
    assert correct(account, read(account), 5)
    assert read(account)[1] == RedisQuota(7, 3, 5)
    assert account.used(TOKENS) == 12


@pytest.mark.parametrize(("revision", "committed"), [(8, 50), (9, 50), (10, 7)])
def test_a_newer_counter_stays_whatever_pending_becomes(account: Account, revision: int, committed: int) -> None:
    account.published(account.counter(50, 9))
    assert correct(account, read(account), 4, revision=revision)
    assert read(account)[1] == RedisQuota(committed, max(revision, 9), 4)


def test_a_call_in_between_leaves_everything_as_it_is(account: Account, everything: Any) -> None:
    account.admit(Wants(TOKENS, 5))
    seen = read(account)
    account.admit(Wants(TOKENS, 1))
    before = everything()
    assert not correct(account, seen, 5)
    assert everything() == before
    assert correct(account, read(account), 6)


def test_other_accounts_calls_do_not_matter(account: Account) -> None:
    account.admit(Wants(TOKENS, 5))
    seen = read(account)
    Account(account.store, account.number + 64).published().admit(Wants(TOKENS, 1))
    assert correct(account, seen, 4)


def test_another_stream_than_the_one_looked_at_is_left_alone(account: Account, everything: Any) -> None:
    account.admit(Wants(TOKENS, 5))
    seen = read(account)
    client().delete(account.keys.stream)
    before = everything()
    assert not correct(account, seen, 4)
    client().delete(key_of(account))
    assert not correct(account, seen, 4)
    assert everything().items() <= before.items()


def test_a_quota_that_was_lost_is_made_again_with_its_expiry(account: Account) -> None:
    account.admit(Wants(TOKENS, 5))
    client().delete(key_of(account))
    assert correct(account, read(account), 5)
    assert read(account)[1] == RedisQuota(7, 3, 5)
    ends_at_ms = WINDOW_STARTS_AT_MS + MONTH_MS
    assert client().pexpiretime(key_of(account)) == ends_at_ms + KEPT_AFTER_WINDOW_MS


def test_a_quota_whose_time_is_over_is_not_left_behind(account: Account) -> None:
    past = quota(None, WINDOW_STARTS_AT_MS - 3 * MONTH_MS)
    counter = account.counter(5, 1, past)
    nothing = RedisQuota(None, None, None)
    assert counters.correct_pending(account.store, account.keys.stream, counter, b"", nothing, Pending(5))
    assert not client().exists(counter.key)


ARGUMENTS = [b"", b"", 4, 7, 3, WINDOW_STARTS_AT_MS + MONTH_MS]


@pytest.mark.parametrize(("position", "text"), [(2, "nan"), (2, "1e3"), (3, " 5"), (4, "-1"), (4, "0x1"), (5, "")])
def test_what_is_no_number_is_an_error_and_nothing_changes(
    account: Account, everything: Any, position: int, text: str
) -> None:
    before = everything()
    arguments = [*ARGUMENTS[:position], text, *ARGUMENTS[position + 1 :]]
    with pytest.raises(ResponseError, match="not a"):
        account.store.run(Command(scripts.CORRECT_PENDING, [account.keys.stream, key_of(account)], arguments))
    assert everything() == before


def test_a_stream_of_another_type_is_an_error_and_nothing_changes(account: Account, everything: Any) -> None:
    client().sadd(account.keys.stream, "member")
    before = everything()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        account.store.run(
            Command(scripts.CORRECT_PENDING, [account.keys.stream, key_of(account)], [b"1-1", *ARGUMENTS[1:]])
        )
    assert everything() == before


@pytest.mark.parametrize("field", ["", "l", "p", "r", "v"])
def test_what_is_no_quota_is_replaced(account: Account, server: Any, field: str) -> None:
    """Without a field: of another type."""
    account.published(account.counter(50, 9))
    account.admit(Wants(TOKENS, 5))
    if field:
        server.hset(key_of(account), field, "nan")
    else:
        server.set(key_of(account), "text")
    assert correct(account, read(account), 5)
    assert read(account)[1] == RedisQuota(7, 3, 5)
    assert server.pexpiretime(key_of(account)) == account.counter(7, 3).words()[2]
    assert account.used(TOKENS) == 12
