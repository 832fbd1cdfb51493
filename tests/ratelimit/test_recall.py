"""lua/recall.lua: receipts that Redis has lost come back, and what it holds stays."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import limiter, scripts
from ratelimit.limiter import Bought, Receipt
from ratelimit.limits import Outcome, Take
from tests.ratelimit.account import MONTH_MS, NOW_MS, Account, quota


def bought(account: Account, runs: int = 1, expires_at_ms: int = NOW_MS + MONTH_MS) -> Bought:
    return Bought(Receipt(account.keys.receipt("k"), b"print"), "first", b"its audit", runs, expires_at_ms)


def test_a_call_under_the_key_is_a_replay_then(account: Account) -> None:
    known = bought(account)
    assert limiter.recall(account.store, [known]) == 1
    decision = account.admit(Take(quota(100), 6), receipt=known.receipt)
    assert (decision.outcome, decision.event, decision.first_run) == (Outcome.REPLAYED, "first", b"its audit")
    assert decision.standings[0].used == 0


def test_what_redis_holds_is_newer(account: Account) -> None:
    receipt = bought(account).receipt
    account.admit(Take(quota(100), 6), receipt=receipt, event="second")
    assert limiter.recall(account.store, [bought(account)]) == 0
    assert account.admit(Take(quota(100), 6), receipt=receipt).event == "second"


def test_it_ends_when_it_would_have(account: Account, server: Any) -> None:
    known = bought(account, runs=3)
    limiter.recall(account.store, [known])
    assert server.pexpiretime(known.receipt.key) == known.expires_at_ms
    assert server.hget(known.receipt.key, "n") == b"3"
    limiter.recall(account.store, [bought(Account(account.store), expires_at_ms=NOW_MS - 1)])
    assert server.exists(known.receipt.key) == 1


@pytest.mark.parametrize("at", [3, 4])
def test_what_is_no_number_changes_nothing(account: Account, at: int, everything: Any) -> None:
    arguments: list[Any] = [b"print", b"first", b"audit", 1, NOW_MS + MONTH_MS] * 2
    arguments[5 + at] = b"nan"
    keys, before = [account.keys.receipt("a"), account.keys.receipt("b")], everything()
    with pytest.raises(ResponseError, match="not a natural number"):
        account.store.run(scripts.RECALL, keys, arguments)
    assert everything() == before
