"""admit.lua: all limits or none, and every check before the first write (laws L1, L3)."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from ratelimit import scripts
from ratelimit.limiter import AdmitCommand, admit
from ratelimit.limits import LARGEST_NUMBER, Decision, Limit, Outcome, Take
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS, UNLIMITED
from ratelimit.servers.single import Command, Store
from tests.ratelimit.account import FIRST, HOUR_MS, NOW_MS, WINDOW_STARTS_AT_MS, Account, Wants, minute, quota


@pytest.mark.parametrize(
    ("used", "cost", "passes"), [(95, 4, True), (95, 5, True), (95, 6, False), (100, 1, False), (0, 101, False)]
)
def test_the_quota_under_at_and_over(account: Account, used: int, cost: int, passes: bool) -> None:
    account.admit(Wants(quota(None), used))
    decision = account.admit(Wants(quota(100), cost))
    assert (decision.outcome is Outcome.ADMITTED) is passes
    assert decision.violated == (() if passes else (quota(100),))
    assert decision.standings[0].used == used + cost * passes
    assert decision.standings[0].remaining == 100 - used - cost * passes


def test_an_unlimited_quota_counts_and_never_refuses(account: Account) -> None:
    for _ in range(3):
        assert account.admit(Wants(quota(None), 10**9)).outcome is Outcome.ADMITTED
    assert account.used(quota(None)) == 3 * 10**9
    assert account.admit(Wants(quota(None), 1)).standings[0].remaining is None


def test_an_amount_of_zero_passes_whatever_the_standing(account: Account, everything: Any) -> None:
    account.admit(Wants(quota(None), 50))
    before = everything()
    for maximum in (0, 10, 50, None):
        assert account.admit(Wants(minute(0), 0), Wants(quota(maximum), 0), audit=b"").outcome is Outcome.ADMITTED
    assert everything() == before


def test_a_maximum_of_zero_admits_nothing(account: Account) -> None:
    refused = account.admit(Wants(minute(0), 1), Wants(quota(0), 1))
    assert refused.outcome is Outcome.REFUSED
    assert refused.violated == (minute(0), quota(0))
    assert [standing.wait_for_ms(1) for standing in refused.standings] == [None, None]


@pytest.mark.parametrize(
    ("minute_maximum", "quota_maximum", "names"), [(0, 9, ["minute"]), (9, 0, ["quota"]), (0, 0, ["minute", "quota"])]
)
def test_a_refusal_by_either_consumes_nothing(
    account: Account, everything: Any, minute_maximum: int, quota_maximum: int, names: list[str]
) -> None:
    account.admit(Wants(minute(5), 1), Wants(quota(5), 1))
    before = everything()
    takes = [Wants(minute(minute_maximum), 1), Wants(quota(quota_maximum), 1)]
    refused = account.admit(*takes, keyed=account.keyed("key"))
    assert refused.outcome is Outcome.REFUSED
    assert [limit.name for limit in refused.violated] == names
    assert everything() == before


def test_an_admitted_call_writes_its_event_and_a_reading_none(account: Account, server: Any) -> None:
    account.admit(Wants(minute(5), 1), Wants(quota(5), 2), audit=b"what happened")
    account.admit(Wants(minute(5), 1), Wants(quota(5), 0), audit=b"")
    assert [fields for _, fields in server.xrange(account.keys.stream)] == [{b"e": b"what happened"}]


def test_windows_are_counted_apart_and_outlive_their_end(account: Account, server: Any) -> None:
    this, following = quota(5), quota(5, quota(5).ends_at_ms)
    assert account.admit(Wants(this, 5)).outcome is Outcome.ADMITTED
    assert account.admit(Wants(following, 5)).outcome is Outcome.ADMITTED
    assert account.admit(Wants(this, 1)).outcome is Outcome.REFUSED
    expires_at_ms = server.pexpiretime(account.keys.quota(WINDOW_STARTS_AT_MS))
    assert expires_at_ms == this.ends_at_ms + KEPT_AFTER_WINDOW_MS


def test_the_standing_of_a_quota_waits_for_the_windows_end(account: Account) -> None:
    now_ms = quota(5).ends_at_ms - 1_001
    standing = account.admit(Wants(quota(5), 5), now_ms=now_ms).standings[0]
    assert (standing.wait_ms, standing.wait_for_ms(1), standing.wait_for_ms(6)) == (1_001, 1_001, None)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 40))), max_size=20),
    per_minute=st.integers(0, 12),
)
def test_both_limits_are_charged_or_neither(store: Store, calls: list[tuple[int, int | None]], per_minute: int) -> None:
    account, requests, tokens = Account(store).published(), 0, 0
    for cost, maximum in calls:
        decision = account.admit(Wants(minute(per_minute), 1), Wants(quota(maximum), cost))
        passes = requests < per_minute and (cost == 0 or maximum is None or tokens + cost <= maximum)
        requests, tokens = requests + passes, tokens + cost * passes
        assert (decision.outcome is Outcome.ADMITTED) is passes
        assert [standing.used for standing in decision.standings] == [requests, tokens]


@pytest.mark.parametrize("ahead_ms", [5_001, -5_001, 10 * HOUR_MS])
def test_a_skewed_clock_is_told_the_servers_and_charges_nothing(
    account: Account, everything: Any, ahead_ms: int
) -> None:
    before = everything()
    skewed = account.admit(Wants(quota(5), 1), charged_at_ms=NOW_MS + ahead_ms, now_ms=NOW_MS)
    assert (skewed.outcome, skewed.now_ms) == (Outcome.SKEWED, NOW_MS)
    assert everything() == before


@pytest.mark.parametrize("ahead_ms", [5_000, -5_000, 4_999, 0])
def test_a_skew_of_five_seconds_is_borne(account: Account, ahead_ms: int) -> None:
    decision = account.admit(Wants(quota(5), 1), charged_at_ms=NOW_MS + ahead_ms, now_ms=NOW_MS)
    assert decision.outcome is Outcome.ADMITTED


def test_the_servers_clock_judges_unless_another_is_given(account: Account, server: Any) -> None:
    seconds, microseconds = server.time()
    decision = account.admit(Wants(minute(5), 1), charged_at_ms=time.time_ns() // 10**6, now_ms=None)
    assert decision.outcome is Outcome.ADMITTED
    assert decision.now_ms >= seconds * 1000 + microseconds // 1000


NUMBERS = ("maximum", "window", "quota", "expiry", "charged_at", "now", "requests", "cost")


def raw_call(account: Account, limits: bytes | None = None, call: bytes | None = None, **changes: int) -> Any:
    """The script itself, with some of the numbers or a whole word replaced."""
    asked = AdmitCommand(account.keys, account.versions, [minute(5), quota(100)])
    given = (*struct.unpack(">4Q", bytes(asked.words[2])), NOW_MS, NOW_MS, 1, 1)
    said = dict(zip(NUMBERS, given, strict=True)) | changes
    packed = struct.pack(">8Q", *(said[name] for name in NUMBERS))
    words = [*account.versions, packed[:32] if limits is None else limits, packed[32:] if call is None else call]
    return account.store.run(Command(scripts.ADMIT, asked.names, [*words, b"audit"]))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("value", [10**15, 2**53 - 2, 2**53, 2**53 + 1, 2**63, 2**64 - 1])
def test_a_number_of_more_than_fifteen_digits_is_an_error_before_the_first_write(
    account: Account, everything: Any, number: str, value: int
) -> None:
    before = everything()
    with pytest.raises(ResponseError, match="one request at a time" if number == "requests" else r"not below 10\^15"):
        raw_call(account, **{number: value})
    assert everything() == before
    assert raw_call(account)[0] == Outcome.ADMITTED


def test_only_a_quota_can_be_unlimited(account: Account, everything: Any) -> None:
    before = everything()
    with pytest.raises(ResponseError, match=r"not below 10\^15"):
        raw_call(account, maximum=UNLIMITED)
    assert everything() == before
    assert raw_call(account, quota=UNLIMITED)[0] == Outcome.ADMITTED


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_call_of_another_size_is_an_error(account: Account, everything: Any, size: int) -> None:
    before = everything()
    with pytest.raises(ResponseError, match="not what a call takes"):
        raw_call(account, call=b"\0" * size)
    assert everything() == before


@pytest.mark.parametrize("word", [b"", b"\0", b"\1" + b"\0" * 15, b"\1" + b"\0" * 17, b"\3" + b"\0" * 32])
def test_limits_that_are_none_are_an_error(account: Account, everything: Any, word: bytes) -> None:
    before = everything()
    with pytest.raises(ResponseError):
        raw_call(account, limits=word)
    assert everything() == before


@pytest.mark.parametrize(
    "limits", [[minute(5)], [quota(5), minute(5)], [minute(5), minute(6), quota(5)], []], ids=["m", "qm", "mmq", ""]
)
def test_a_call_is_judged_by_a_minute_at_most_and_then_by_quotas(limits: list[Limit]) -> None:
    with pytest.raises(ValueError, match="a call is judged by"):
        AdmitCommand(Account(None).keys, FIRST, limits)  # type: ignore[arg-type]


def test_a_second_quota_is_one_more_row(account: Account) -> None:
    """Of all limits, or of none, each named by its own place."""
    month, day = quota(100), quota(20, WINDOW_STARTS_AT_MS - HOUR_MS)
    asked = AdmitCommand(account.keys, account.versions, [minute(3), month, day])
    given = {"charged_at_ms": NOW_MS, "now_ms": NOW_MS, "event": "e", "audit": b"audit"}
    decisions = [admit(account.store, asked, Take(1, tokens), **given) for tokens in (15, 6, 5)]  # type: ignore[arg-type]
    assert all(isinstance(decision, Decision) for decision in decisions)
    first, second, third = (decision for decision in decisions if isinstance(decision, Decision))
    assert (second.outcome, second.violated) == (Outcome.REFUSED, (day,))
    assert [standing.used for standing in third.standings] == [2, 20, 20]
    assert first.outcome is third.outcome is Outcome.ADMITTED


@pytest.mark.parametrize("amount", [2, 10])
def test_a_ring_takes_one_request_at_a_time(account: Account, everything: Any, amount: int) -> None:
    before = everything()
    with pytest.raises(ResponseError, match="takes one request at a time"):
        raw_call(account, requests=amount)
    assert everything() == before


def test_the_largest_numbers_stay_exact(account: Account, everything: Any) -> None:
    largest = quota(LARGEST_NUMBER)
    assert account.admit(Wants(largest, LARGEST_NUMBER - 1)).outcome is Outcome.ADMITTED
    assert account.admit(Wants(largest, 2)).outcome is Outcome.REFUSED
    assert account.admit(Wants(largest, 1)).standings[0].used == LARGEST_NUMBER
    for count in range(2, 10):
        assert account.admit(Wants(quota(None), LARGEST_NUMBER)).standings[0].used == count * LARGEST_NUMBER
    before = everything()
    with pytest.raises(ResponseError, match="exact"):
        account.admit(Wants(quota(None), LARGEST_NUMBER))
    assert everything() == before


@pytest.mark.parametrize("which", ["stream", "record", "ring", "ring_body", "quota"])
def test_a_key_of_another_type_is_an_error_and_nothing_changes(
    account: Account, server: Any, everything: Any, which: str
) -> None:
    keyed = account.keyed("key")
    keys = {"record": keyed.record, "quota": account.keys.quota(WINDOW_STARTS_AT_MS)}
    for _ in range(7 if which == "ring_body" else 0):  # the eighth is written there
        account.admit(Wants(minute(9), 1), Wants(quota(5), 0), audit=b"")
    server.sadd(keys.get(which) or getattr(account.keys, which), "member")
    before = everything()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        account.admit(Wants(minute(9), 1), Wants(quota(5), 1), keyed=keyed)
    assert everything() == before


@pytest.mark.parametrize("field", ["l", "p", "r"])
@pytest.mark.parametrize("value", ["nan", "1e3", "9007199254740993", "0x10", ""])
def test_a_counter_that_is_no_number_is_an_error(
    account: Account, server: Any, everything: Any, field: str, value: str
) -> None:
    server.hset(account.keys.quota(WINDOW_STARTS_AT_MS), field, value)
    before = everything()
    with pytest.raises(ResponseError, match="not a counter"):
        account.admit(Wants(quota(5), 1))
    assert everything() == before


def test_all_keys_of_a_call_carry_the_accounts_shard(account: Account) -> None:
    tag = b"{s%02d}" % (account.number % settings.RATELIMIT_SHARDS)
    names = [*account.all_keys(keyed=[account.keyed("key")]), account.keys.void_marker("event")]
    assert all(name.startswith(tag + b":") for name in names)
    assert len(set(names)) == len(names)
