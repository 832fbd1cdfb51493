"""read_quotas.lua: what is held and the stream's end, at one instant, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

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


@pytest.mark.parametrize("field", ["l", "r", "p", "v"])
def test_of_what_is_no_quota_nothing_is_held(account: Account, field: str) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    client().hset(key, mapping={"l": "1", "r": "1", "p": "1"} | {field: "nan"})
    assert counters.read_quotas(account.store, account.keys.stream, [key]) == (b"", [RedisQuota(None, None, None)])


@pytest.mark.parametrize("which", ["stream", "quota"])
def test_nor_where_a_key_is_of_another_type(account: Account, server: Any, which: str) -> None:
    account.admit(Wants(TOKENS, 3))
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    last, held = counters.read_quotas(account.store, account.keys.stream, [key])
    name = account.keys.stream if which == "stream" else key
    server.delete(name)
    server.sadd(name, "member")
    left = (b"", held) if which == "stream" else (last, [RedisQuota(None, None, None)])
    assert counters.read_quotas(account.store, account.keys.stream, [key]) == left
