"""read_quotas.lua: what is held and the stream's end, at one instant, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import counters
from ratelimit.limits import RedisQuota
from ratelimit.store import client
from tests.ratelimit.account import WINDOW_STARTS_AT_MS, Account, Wants, quota

TOKENS = quota(None)


def test_an_empty_shard_says_nothing(account: Account) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    assert counters.read_quotas(account.store, account.keys.stream, []) == (b"", [])
    assert counters.read_quotas(account.store, account.keys.stream, [key]) == (b"", [RedisQuota(None, None, None)])
    assert not client().exists(key, account.keys.stream)


def test_each_quota_with_what_it_lacks(account: Account) -> None:
    neighbour = Account(account.store, account.number + 64).published()
    account.published(account.counter(50, 9))
    account.admit(Wants(TOKENS, 3))
    account.void(Wants(TOKENS, 8), "event")
    neighbour.admit(Wants(TOKENS, 2))
    keys = [each.keys.quota(WINDOW_STARTS_AT_MS) for each in (account, neighbour)]
    last, held = counters.read_quotas(account.store, account.keys.stream, keys)
    assert held == [RedisQuota(50, 9, -5), RedisQuota(None, None, 2)]
    assert last == client().xrevrange(account.keys.stream, count=1)[0][0]


@pytest.mark.parametrize("field", ["l", "r", "p"])
def test_what_is_no_counter_is_an_error(account: Account, field: str) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    client().hset(key, field, "nan")
    with pytest.raises(ResponseError, match="not a counter"):
        counters.read_quotas(account.store, account.keys.stream, [key])


@pytest.mark.parametrize("which", ["stream", "quota"])
def test_a_key_of_another_type_is_an_error(account: Account, server: Any, which: str) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    server.sadd(account.keys.stream if which == "stream" else key, "member")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        counters.read_quotas(account.store, account.keys.stream, [key])
