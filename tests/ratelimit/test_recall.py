"""lua/recall.lua: receipts that Redis has lost come back, and what it holds stays."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import limiter, scripts
from ratelimit.limiter import VOID_MARKER_LIFE_MS, Bought, Receipt, Voided
from ratelimit.limits import Outcome, Take
from tests.ratelimit.account import MONTH_MS, NOW_MS, Account, quota


def bought(account: Account, runs: int = 1, expires_at_ms: int = NOW_MS + MONTH_MS) -> Bought:
    return Bought(Receipt(account.keys.receipt("k"), b"print"), "first", b"its audit", runs, expires_at_ms)


def test_a_call_under_the_key_is_a_replay_then(account: Account) -> None:
    known = bought(account)
    assert limiter.recall(account.store, account.keys, [known]) == [True]
    decision = account.admit(Take(quota(100), 6), receipt=known.receipt)
    assert (decision.outcome, decision.event, decision.first_run) == (Outcome.REPLAYED, "first", b"its audit")
    assert decision.standings[0].used == 0


def test_what_redis_holds_is_newer(account: Account) -> None:
    receipt = bought(account).receipt
    account.admit(Take(quota(100), 6), receipt=receipt, event="second")
    assert limiter.recall(account.store, account.keys, [bought(account)]) == [False]
    assert account.admit(Take(quota(100), 6), receipt=receipt).event == "second"


def test_that_of_a_voided_charge_stays_away(account: Account, server: Any) -> None:
    """Its void is on its way to PostgreSQL, which has the receipt still."""
    known, cost = bought(account), Take(quota(100), 6)
    account.admit(cost, receipt=known.receipt, event="first")
    assert account.void(cost, "first", known.receipt)[0] is Voided.VOIDED
    assert limiter.recall(account.store, account.keys, [known]) == [False]
    assert account.admit(cost, receipt=known.receipt, event="second").outcome is Outcome.ADMITTED
    assert server.pttl(account.keys.void_marker("first")) > VOID_MARKER_LIFE_MS, "as long as the receipt would have"


@pytest.mark.parametrize(("event", "gone"), [("first", 1), ("another", 0)])
def test_forgotten_is_that_of_the_event_only(account: Account, event: str, gone: int) -> None:
    known = bought(account)
    limiter.recall(account.store, account.keys, [known])
    assert limiter.forget(account.store, [(known.receipt.key, event)]) == gone
    outcome = account.admit(Take(quota(100), 6), receipt=known.receipt, event="second").outcome
    assert outcome is (Outcome.ADMITTED if gone else Outcome.REPLAYED)


def test_it_ends_when_it_would_have(account: Account, server: Any) -> None:
    known = bought(account, runs=3)
    limiter.recall(account.store, account.keys, [known])
    assert server.pexpiretime(known.receipt.key) == known.expires_at_ms
    assert server.hget(known.receipt.key, "n") == b"3"
    limiter.recall(account.store, account.keys, [bought(Account(account.store), expires_at_ms=NOW_MS - 1)])
    assert server.exists(known.receipt.key) == 1


@pytest.mark.parametrize("at", [3, 4])
def test_what_is_no_number_changes_nothing(account: Account, at: int, everything: Any) -> None:
    arguments: list[Any] = [b"print", b"first", b"audit", 1, NOW_MS + MONTH_MS] * 2
    arguments[5 + at] = b"nan"
    keys = [key for name in "ab" for key in (account.keys.receipt(name), account.keys.void_marker(name))]
    before = everything()
    with pytest.raises(ResponseError, match="not a natural number"):
        account.store.run(scripts.RECALL, keys, arguments)
    assert everything() == before
