"""lua/receipt.lua: what an idempotency key has bought, and when its charge is given back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.limiter import Receipt, Voided
from ratelimit.limits import Outcome, Take
from ratelimit.scripts import RECEIPT_LIFE_MS
from ratelimit.store import Store
from tests.ratelimit.account import NOW_MS, Account, minute, quota

COST = Take(quota(100), 10)


@pytest.fixture
def receipt(account: Account) -> Receipt:
    return Receipt(account.keys.receipt("a key"), b"fingerprint")


def test_a_key_is_charged_once_however_often_it_is_replayed(account: Account, receipt: Receipt, server: Any) -> None:
    first = account.admit(COST, receipt=receipt, event="first", audit=b"the first run")
    replays = [account.admit(COST, receipt=receipt, event=f"again-{n}", audit=b"another") for n in range(3)]
    assert first.outcome is Outcome.ADMITTED and first.event == "first" and first.first_run == b""
    for replay in replays:
        assert replay.outcome is Outcome.REPLAYED
        assert (replay.event, replay.first_run) == ("first", b"the first run")
        assert replay.standings[0].used == 10
    assert [fields for _, fields in server.xrange(account.keys.stream)] == [{b"e": b"the first run"}]


def test_a_replay_passes_when_the_quota_is_used_up(account: Account, receipt: Receipt) -> None:
    account.admit(COST, receipt=receipt)
    account.admit(Take(quota(100), 90))
    assert account.admit(COST).outcome is Outcome.REFUSED
    assert account.admit(COST, receipt=receipt).outcome is Outcome.REPLAYED


def test_a_replay_is_judged_by_the_minute(account: Account, receipt: Receipt, everything: Any) -> None:
    takes = [Take(minute(2), 1), COST]
    outcomes = [account.admit(*takes, receipt=receipt).outcome for _ in range(2)]
    assert outcomes == [Outcome.ADMITTED, Outcome.REPLAYED]
    before = everything()
    refused = account.admit(*takes, receipt=receipt)
    assert (refused.outcome, refused.violated) == (Outcome.REFUSED, (minute(2),))
    assert everything() == before


def test_another_request_under_the_key_conflicts_and_consumes_nothing(
    account: Account, receipt: Receipt, everything: Any
) -> None:
    takes = [Take(minute(9), 1), COST]
    account.admit(*takes, receipt=receipt)
    before = everything()
    conflict = account.admit(*takes, receipt=receipt._replace(fingerprint=b"another"))
    assert conflict.outcome is Outcome.CONFLICT
    assert [standing.used for standing in conflict.standings] == [1, 10]
    assert everything() == before


def test_a_refused_call_leaves_its_key_free(account: Account, receipt: Receipt, server: Any) -> None:
    assert account.admit(Take(quota(9), 10), receipt=receipt).outcome is Outcome.REFUSED
    assert not server.exists(receipt.key)
    assert account.admit(COST, receipt=receipt).outcome is Outcome.ADMITTED


def test_a_replay_in_another_window_charges_neither(account: Account, receipt: Receipt) -> None:
    this, following = quota(100), quota(100, quota(100).ends_at_ms)
    account.admit(Take(this, 10), receipt=receipt, event="first")
    replay = account.admit(Take(following, 10), receipt=receipt)
    assert (replay.outcome, replay.event) == (Outcome.REPLAYED, "first")
    assert (account.used(this), account.used(following)) == (10, 0)


def test_a_receipt_lives_for_a_day_from_its_first_run(account: Account, receipt: Receipt, server: Any) -> None:
    account.admit(COST, receipt=receipt)
    assert RECEIPT_LIFE_MS - 60_000 < server.pttl(receipt.key) <= RECEIPT_LIFE_MS
    server.pexpire(receipt.key, 1000)
    account.admit(COST, receipt=receipt)
    assert server.pttl(receipt.key) <= 1000  # a replay does not prolong it
    server.delete(receipt.key)  # as expiry does
    assert account.admit(COST, receipt=receipt, event="new").outcome is Outcome.ADMITTED
    assert account.used(quota(100)) == 20


def test_the_only_run_failing_gives_the_tokens_back_and_frees_the_key(
    account: Account, receipt: Receipt, server: Any
) -> None:
    account.admit(COST, receipt=receipt, event="first")
    status, standing = account.void(COST, "first", receipt)
    assert (status, standing.used) == (Voided.VOIDED, 0)
    assert not server.exists(receipt.key)
    assert account.admit(COST, receipt=receipt, event="second").outcome is Outcome.ADMITTED


def test_a_failing_replay_does_not_make_a_served_call_free(account: Account, receipt: Receipt) -> None:
    account.admit(COST, receipt=receipt, event="first")
    account.admit(COST, receipt=receipt)
    assert account.void(COST, "first", receipt)[0] is Voided.KEPT
    assert account.used(quota(100)) == 10
    assert account.admit(COST, receipt=receipt).outcome is Outcome.REPLAYED


def test_a_void_with_an_expired_receipt_is_a_plain_void(account: Account, receipt: Receipt, server: Any) -> None:
    account.admit(COST, receipt=receipt, event="first")
    server.delete(receipt.key)
    assert account.void(COST, "first", receipt)[0] is Voided.VOIDED


def test_a_void_leaves_the_receipt_of_a_later_charge_alone(account: Account, receipt: Receipt, server: Any) -> None:
    account.admit(COST, receipt=receipt, event="first")
    server.delete(receipt.key)
    account.admit(COST, receipt=receipt, event="second")
    assert account.void(COST, "first", receipt)[0] is Voided.VOIDED
    assert account.admit(COST, receipt=receipt).event == "second"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["run", "fail", "serve"]), max_size=25))
def test_the_tokens_are_spent_exactly_while_a_run_is_open_or_was_served(store: Store, steps: list[str]) -> None:
    account = Account(store).told()
    receipt = Receipt(account.keys.receipt("k"), b"print")
    event, running, served, number = "", 0, 0, 0
    for step in steps:
        if step == "run":
            number += 1
            decision = account.admit(COST, receipt=receipt, event=f"{account.number}-{number}", now_ms=NOW_MS)
            assert (decision.outcome is Outcome.REPLAYED) is (running + served > 0)
            event, running = decision.event, running + 1
        elif step == "fail" and running:
            running -= 1
            status, _ = account.void(COST, event, receipt)
            assert (status is Voided.VOIDED) is (running + served == 0)
        elif step == "serve" and running:
            running, served = running - 1, served + 1
        assert account.used(quota(100)) == (10 if running + served else 0)


def test_keys_of_customers_are_hashed_and_never_shared(store: Store) -> None:
    first, second = Account(store), Account(store, Account(store).number + 64)
    text = "a customer's secret"
    assert first.keys.receipt(text) != second.keys.receipt(text)
    assert first.keys.receipt(text) != first.keys.receipt(text + " ")
    assert text.encode() not in first.keys.receipt(text)
