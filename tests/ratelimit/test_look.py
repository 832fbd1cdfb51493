"""lua/look.lua: what is held and the stream's end, at one instant, and nothing changed by looking."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import limiter
from ratelimit.limiter import Held
from ratelimit.limits import Take
from ratelimit.store import client
from tests.ratelimit.account import WINDOW_STARTS_AT_MS, Account, quota

TOKENS = quota(None)


def test_an_empty_shard_says_nothing(account: Account) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    assert limiter.look(account.store, account.keys.stream, []) == (b"", [])
    assert limiter.look(account.store, account.keys.stream, [key]) == (b"", [Held(None, None, None)])
    assert not client().exists(key, account.keys.stream)


def test_each_quota_with_what_it_lacks(account: Account) -> None:
    neighbour = Account(account.store, account.number + 64).told()
    account.told(account.counter(50, 9))
    account.admit(Take(TOKENS, 3))
    account.void(Take(TOKENS, 8), "event")
    neighbour.admit(Take(TOKENS, 2))
    keys = [each.keys.quota(WINDOW_STARTS_AT_MS) for each in (account, neighbour)]
    last, held = limiter.look(account.store, account.keys.stream, keys)
    assert held == [Held(50, 9, -5), Held(None, None, 2)]
    assert last == client().xrevrange(account.keys.stream, count=1)[0][0]


@pytest.mark.parametrize("field", ["l", "r", "p"])
def test_what_is_no_counter_is_an_error(account: Account, field: str) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    client().hset(key, field, "nan")
    with pytest.raises(ResponseError, match="not a counter"):
        limiter.look(account.store, account.keys.stream, [key])


@pytest.mark.parametrize("which", ["stream", "quota"])
def test_a_key_of_another_type_is_an_error(account: Account, server: Any, which: str) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    server.sadd(account.keys.stream if which == "stream" else key, "member")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        limiter.look(account.store, account.keys.stream, [key])
