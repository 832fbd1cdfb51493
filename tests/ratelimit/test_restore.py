"""restore.lua: records that Redis has lost come back, what it holds stays, released keys are free."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import counters, scripts
from ratelimit.counters import Record
from ratelimit.keys import key_digest
from ratelimit.limiter import VOID_MARKER_LIFE_MS, Voided
from ratelimit.limits import Outcome
from ratelimit.servers.single import Command
from tests.ratelimit.account import MONTH_MS, NOW_MS, Account, Wants, quota

COST = Wants(quota(100), 6)


def record(account: Account, **changes: Any) -> Record:
    known = Record(account.keyed("k").record, b"f" * 32, "first", b"its audit", None, 0, NOW_MS + MONTH_MS)
    return known._replace(**changes)


def restore(account: Account, **changes: Any) -> Record:
    known = record(account, **changes)
    counters.restore(account.store, account.keys, [known])
    return known


def test_a_call_under_the_key_runs_again_uncharged(account: Account) -> None:
    restore(account)
    decision = account.admit(COST, keyed=account.keyed("k"))
    assert (decision.outcome, decision.event, decision.audit) == (Outcome.RERUN, "first", b"its audit")
    assert decision.standings[0].used == 0


@pytest.mark.parametrize(("left_ms", "outcome"), [(1, Outcome.IN_PROGRESS), (0, Outcome.RERUN)])
def test_what_was_in_flight_is_so_for_its_time(account: Account, left_ms: int, outcome: Outcome) -> None:
    restore(account, in_flight_until_ms=NOW_MS + left_ms)
    assert account.admit(COST, keyed=account.keyed("k")).outcome is outcome


@pytest.mark.parametrize(("reruns", "outcome"), [(2, Outcome.RERUN), (3, Outcome.EXHAUSTED)])
def test_reruns_are_remembered(account: Account, reruns: int, outcome: Outcome) -> None:
    restore(account, reruns=reruns)
    assert account.admit(COST, keyed=account.keyed("k")).outcome is outcome


def test_what_redis_holds_is_newer(account: Account) -> None:
    account.admit(COST, keyed=account.keyed("k"), event="second")
    restore(account)
    assert account.admit(COST, keyed=account.keyed("k")).event == "second"


def test_that_of_a_voided_charge_stays_away(account: Account, server: Any) -> None:
    """Its void is on its way to PostgreSQL, which has the record still."""
    keyed = account.keyed("k")
    account.admit(COST, keyed=keyed, event="first")
    assert account.void(COST, "first", keyed)[0] is Voided.VOIDED
    restore(account)
    assert account.admit(COST, keyed=keyed, event="second").outcome is Outcome.ADMITTED
    assert server.pttl(account.keys.void_marker("first")) > VOID_MARKER_LIFE_MS, "as long as the record would have"


@pytest.mark.parametrize(("event", "outcome"), [("first", Outcome.ADMITTED), ("another", Outcome.IN_PROGRESS)])
def test_a_released_key_is_free_unless_another_event_has_it(account: Account, event: str, outcome: Outcome) -> None:
    account.admit(COST, keyed=account.keyed("k"), event="first")
    restore(account, event=event, expires_at_ms=0)
    assert account.admit(COST, keyed=account.keyed("k"), event="next").outcome is outcome


@pytest.mark.parametrize(("event", "gone"), [("first", 1), ("another", 0)])
def test_released_at_once_is_that_of_the_event_only(account: Account, event: str, gone: int) -> None:
    known = restore(account)
    assert counters.release_keys(account.store, [(known.key, event)]) == gone
    outcome = account.admit(COST, keyed=account.keyed("k"), event="second").outcome
    assert outcome is (Outcome.ADMITTED if gone else Outcome.RERUN)


def test_it_ends_when_it_would_have(account: Account, server: Any) -> None:
    known = restore(account)
    assert server.pexpiretime(known.key) == known.expires_at_ms


@pytest.mark.parametrize("at", [3, 4, 5])
def test_what_is_no_number_changes_nothing(account: Account, at: int, everything: Any) -> None:
    arguments: list[Any] = [b"print", b"first", b"audit", NOW_MS, 1, NOW_MS + MONTH_MS] * 2
    arguments[6 + at] = b"nan"
    names = (key_digest(name) for name in "ab")
    keys = [key for name in names for key in (account.keys.record(name), account.keys.void_marker(name))]
    before = everything()
    with pytest.raises(ResponseError, match="not a natural number"):
        account.store.run(Command(scripts.RESTORE, keys, arguments))
    assert everything() == before
