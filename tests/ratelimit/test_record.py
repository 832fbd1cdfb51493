"""record.lua: what is known of an Idempotency-Key, and what becomes of a call under it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import limiter
from ratelimit.keys import key_digest
from ratelimit.limiter import Keyed, Voided
from ratelimit.limits import KeptAnswer, Outcome
from ratelimit.scripts import MOST_RERUNS, RECORD_LIFE_MS
from ratelimit.servers.single import Store
from tests.effort import examples
from tests.ratelimit.account import IN_FLIGHT_MS, NOW_MS, Account, Wants, minute, quota

COST = Wants(quota(100), 10)
ANSWER = KeptAnswer(b"200 application/json", b'{"n": 1}')
LATER = NOW_MS + IN_FLIGHT_MS


@pytest.fixture
def keyed(account: Account) -> Keyed:
    return account.keyed("a key")


def end(account: Account, keyed: Keyed, event: str, answer: KeptAnswer | None = None) -> bool:
    return limiter.end_request(account.store, keyed.record, event, answer)


class TestInFlight:
    def test_a_second_call_is_told_so_and_consumes_nothing(
        self, account: Account, keyed: Keyed, everything: Any
    ) -> None:
        wants = [Wants(minute(9), 1), COST]
        first = account.admit(*wants, keyed=keyed, event="first")
        before = everything()
        second = account.admit(*wants, keyed=keyed)
        assert (first.outcome, second.outcome, second.event) == (Outcome.ADMITTED, Outcome.IN_PROGRESS, "first")
        assert [standing.used for standing in second.standings] == [1, 10]
        assert everything() == before

    @pytest.mark.parametrize(("after_ms", "outcome"), [(-1, Outcome.IN_PROGRESS), (0, Outcome.RERUN)])
    def test_it_ends_by_itself(self, account: Account, keyed: Keyed, after_ms: int, outcome: Outcome) -> None:
        account.admit(COST, keyed=keyed)
        assert account.admit(COST, keyed=keyed, now_ms=LATER + after_ms).outcome is outcome

    def test_a_rerun_is_in_flight_as_well(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        rerun = account.admit(COST, keyed=keyed, now_ms=LATER)
        assert (rerun.outcome, rerun.event, rerun.audit) == (Outcome.RERUN, "first", b"audit")
        assert account.admit(COST, keyed=keyed, now_ms=LATER + 1).outcome is Outcome.IN_PROGRESS


class TestAnswered:
    def test_the_answer_is_given_again_and_consumes_nothing(
        self, account: Account, keyed: Keyed, everything: Any, server: Any
    ) -> None:
        wants = [Wants(minute(1), 1), COST]
        account.admit(*wants, keyed=keyed, event="first", audit=b"the first run")
        assert end(account, keyed, "first", ANSWER)
        before = everything()
        for number in range(3):  # also when the minute and the quota are used up
            again = account.admit(*wants, keyed=keyed, event=f"again-{number}")
            assert (again.outcome, again.event, again.answer) == (Outcome.REPLAYED, "first", ANSWER)
        assert everything() == before
        assert [fields for _, fields in server.xrange(account.keys.stream)] == [{b"e": b"the first run"}]

    def test_an_empty_body_is_an_answer(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        end(account, keyed, "first", KeptAnswer(b"204 ", b""))
        assert account.admit(COST, keyed=keyed).answer == KeptAnswer(b"204 ", b"")

    def test_the_first_answer_is_kept_when_the_request_ran_again(self, account: Account, keyed: Keyed) -> None:
        """The first run was given up as unknown, and ended after all."""
        account.admit(COST, keyed=keyed, event="first")
        account.admit(COST, keyed=keyed, now_ms=LATER)
        end(account, keyed, "first", ANSWER)
        assert account.admit(COST, keyed=keyed, now_ms=LATER + 1).outcome is Outcome.REPLAYED


class TestWithoutAnAnswer:
    def test_it_runs_again_a_few_times_uncharged_and_then_no_more(
        self, account: Account, keyed: Keyed, everything: Any
    ) -> None:
        wants = [Wants(minute(9), 1), COST]
        account.admit(*wants, keyed=keyed, event="first")
        end(account, keyed, "first")
        for number in range(MOST_RERUNS):
            rerun = account.admit(*wants, keyed=keyed)
            assert rerun.outcome is Outcome.RERUN
            assert [standing.used for standing in rerun.standings] == [number + 2, 10]
            end(account, keyed, "first")
        before = everything()
        assert account.admit(*wants, keyed=keyed).outcome is Outcome.EXHAUSTED
        assert everything() == before

    def test_a_rerun_is_judged_by_the_minute(self, account: Account, keyed: Keyed, everything: Any) -> None:
        wants = [Wants(minute(1), 1), COST]
        account.admit(*wants, keyed=keyed, event="first")
        end(account, keyed, "first")
        before = everything()
        refused = account.admit(*wants, keyed=keyed)
        assert (refused.outcome, refused.violated) == (Outcome.REFUSED, (minute(1),))
        assert everything() == before

    def test_a_rerun_passes_when_the_quota_is_used_up(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        end(account, keyed, "first")
        account.admit(Wants(quota(100), 90))
        assert account.admit(COST, keyed=keyed).outcome is Outcome.RERUN

    def test_in_another_window_neither_is_charged(self, account: Account, keyed: Keyed) -> None:
        this, following = quota(100), quota(100, quota(100).ends_at_ms)
        account.admit(Wants(this, 10), keyed=keyed, event="first")
        end(account, keyed, "first")
        assert account.admit(Wants(following, 10), keyed=keyed).outcome is Outcome.RERUN
        assert (account.used(this), account.used(following)) == (10, 0)


class TestFailed:
    def test_the_tokens_are_given_back_and_the_key_is_free(self, account: Account, keyed: Keyed, server: Any) -> None:
        account.admit(COST, keyed=keyed, event="first")
        status, standing = account.void(COST, "first", keyed)
        assert (status, standing.used) == (Voided.VOIDED, 0)
        assert not server.exists(keyed.record)
        assert account.admit(COST, keyed=keyed, event="second").outcome is Outcome.ADMITTED

    def test_a_first_run_that_fails_after_a_second_began_leaves_the_charge(
        self, account: Account, keyed: Keyed
    ) -> None:
        account.admit(COST, keyed=keyed, event="first")
        account.admit(COST, keyed=keyed, now_ms=LATER)
        assert account.void(COST, "first", keyed)[0] is Voided.KEPT
        assert account.used(quota(100)) == 10

    def test_one_that_was_answered_stays_charged(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        end(account, keyed, "first", ANSWER)
        assert account.void(COST, "first", keyed)[0] is Voided.KEPT

    def test_without_its_record_a_void_is_a_plain_one(self, account: Account, keyed: Keyed, server: Any) -> None:
        account.admit(COST, keyed=keyed, event="first")
        server.delete(keyed.record)
        assert account.void(COST, "first", keyed)[0] is Voided.VOIDED

    def test_a_void_leaves_the_record_of_a_later_charge_alone(
        self, account: Account, keyed: Keyed, server: Any
    ) -> None:
        account.admit(COST, keyed=keyed, event="first")
        server.delete(keyed.record)
        account.admit(COST, keyed=keyed, event="second")
        assert account.void(COST, "first", keyed)[0] is Voided.VOIDED
        assert account.admit(COST, keyed=keyed).event == "second"


def test_another_request_under_the_key_conflicts_and_consumes_nothing(
    account: Account, keyed: Keyed, everything: Any
) -> None:
    wants = [Wants(minute(9), 1), COST]
    account.admit(*wants, keyed=keyed)
    before = everything()
    conflict = account.admit(*wants, keyed=keyed._replace(fingerprint=b"another"))
    assert conflict.outcome is Outcome.CONFLICT
    assert [standing.used for standing in conflict.standings] == [1, 10]
    assert everything() == before


def test_a_refused_call_leaves_its_key_free(account: Account, keyed: Keyed, server: Any) -> None:
    assert account.admit(Wants(quota(9), 10), keyed=keyed).outcome is Outcome.REFUSED
    assert not server.exists(keyed.record)
    assert account.admit(COST, keyed=keyed).outcome is Outcome.ADMITTED


@pytest.mark.parametrize("event", ["another", ""])
def test_the_end_of_another_event_changes_nothing(account: Account, keyed: Keyed, everything: Any, event: str) -> None:
    account.admit(COST, keyed=keyed, event="first")
    before = everything()
    assert not end(account, keyed, event, ANSWER)
    assert everything() == before


def test_a_record_lives_for_a_day_from_its_first_run(account: Account, keyed: Keyed, server: Any) -> None:
    account.admit(COST, keyed=keyed, event="first")
    assert RECORD_LIFE_MS - 60_000 < server.pttl(keyed.record) <= RECORD_LIFE_MS
    server.pexpire(keyed.record, 1000)
    end(account, keyed, "first")
    account.admit(COST, keyed=keyed)
    assert server.pttl(keyed.record) <= 1000  # a rerun does not prolong it
    server.delete(keyed.record)  # as expiry does
    assert account.admit(COST, keyed=keyed, event="new").outcome is Outcome.ADMITTED
    assert account.used(quota(100)) == 20


@examples(60, 600)
@given(st.lists(st.sampled_from(["call", "serve", "serve large", "fail", "die"]), max_size=25))
def test_the_tokens_are_spent_exactly_unless_every_run_has_failed(store: Store, steps: list[str]) -> None:
    """One after the other, with any of the ends that a run can have."""
    account = Account(store).published()
    keyed = account.keyed("k")
    now_ms, number, event, running, spent, reruns, answered = NOW_MS, 0, "", "", 0, 0, False
    for step in steps:
        if step == "call":
            number += 1
            decision = account.admit(
                COST, keyed=keyed, event=f"{account.number}-{number}", now_ms=now_ms, charged_at_ms=now_ms
            )
            if running:
                expected = Outcome.IN_PROGRESS
            elif not spent:
                expected, running, spent, reruns, answered = Outcome.ADMITTED, "first", 10, 0, False
            elif answered:
                expected = Outcome.REPLAYED
            elif reruns == MOST_RERUNS:
                expected = Outcome.EXHAUSTED
            else:
                expected, running, reruns = Outcome.RERUN, "again", reruns + 1
            assert decision.outcome is expected
            event = decision.event
        elif running and step == "fail" and running == "first":
            assert account.void(COST, event, keyed)[0] is Voided.VOIDED
            running, spent = "", 0
        elif running and step == "die":
            running, now_ms = "", now_ms + IN_FLIGHT_MS
        elif running:
            answered = step == "serve"
            end(account, keyed, event, ANSWER if answered else None)
            running = ""
        assert account.used(quota(100)) == spent


def test_keys_of_customers_are_hashed_and_never_shared(store: Store) -> None:
    first, second = Account(store), Account(store, Account(store).number + 64)
    text = "a customer's secret"
    assert first.keys.record(key_digest(text)) != second.keys.record(key_digest(text))
    assert key_digest(text) != key_digest(text + " ")
    assert text not in key_digest(text)


class TestGivingUp:
    """What becomes of a charge that nobody was served for by its first run."""

    def test_in_flight_it_is_to_be_taken_back_and_the_key_is_free(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        assert not limiter.give_up(account.store, keyed.record, "first")
        assert account.admit(COST, keyed=keyed, event="second").outcome is Outcome.ADMITTED

    def test_it_stands_while_the_request_runs_again(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        again = account.admit(COST, keyed=keyed, now_ms=LATER, charged_at_ms=LATER)
        assert (again.outcome, again.event) == (Outcome.RERUN, "first")
        assert limiter.give_up(account.store, keyed.record, "first")

    def test_it_stands_once_a_run_has_ended(self, account: Account, keyed: Keyed) -> None:
        account.admit(COST, keyed=keyed, event="first")
        end(account, keyed, "first", ANSWER)
        assert limiter.give_up(account.store, keyed.record, "first")
        assert account.admit(COST, keyed=keyed).outcome is Outcome.REPLAYED

    @pytest.mark.parametrize("event", ["first", "another"])
    def test_of_another_event_or_none_it_changes_nothing(
        self, account: Account, keyed: Keyed, event: str, everything: Any
    ) -> None:
        if event == "another":
            account.admit(COST, keyed=keyed, event="first")
        before = everything()
        assert not limiter.give_up(account.store, keyed.record, event)
        assert everything() == before
