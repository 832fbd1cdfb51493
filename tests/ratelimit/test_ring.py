"""lua/fragments/ring.lua: the exact sliding window, against a model that counts every stamp (law L3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.limits import Outcome
from ratelimit.servers.single import Store
from tests.effort import examples
from tests.ratelimit.account import NOW_MS, Account, Wants, minute

WINDOW_MS = 60_000
WRAP = 2**32
BEFORE_WRAP = (NOW_MS // WRAP + 1) * WRAP - 90_000


@dataclass
class Model:
    """The rule, written down without regard to cost."""

    stamps: list[int] = field(default_factory=list)
    clock: int = 0

    def fits(self, now: int, limit: int) -> bool:
        return self.used(now) < limit

    def used(self, now: int) -> int:
        now = max(now, self.clock)
        return sum(now - stamp < WINDOW_MS for stamp in self.stamps)

    def take(self, now: int) -> None:
        self.clock = max(now, self.clock)
        self.stamps.append(self.clock)


def ask(account: Account, now: int, limit: int) -> tuple[bool, int, int | None]:
    """Whether one request passes, how many count after it, and the wait in milliseconds."""
    decision = account.admit(Wants(minute(limit), 1), now_ms=now, audit=b"")
    standing = decision.standings[0]
    return decision.outcome is Outcome.ADMITTED, standing.used, standing.wait_ms


STEPS = st.one_of(
    st.just(0),
    st.integers(0, 3),
    st.integers(0, 20_000),
    st.sampled_from([59_999, 60_000, 60_001, 30_000, 1, 120_000]),
    st.integers(-3_000, -1),
)
SEQUENCES = st.lists(
    st.tuples(STEPS, st.integers(1, 12), st.one_of(st.none(), st.integers(0, 50))), min_size=1, max_size=25
)
STARTS = st.sampled_from([NOW_MS, BEFORE_WRAP, BEFORE_WRAP + 60_000])


@examples(120, 1200)
@given(start=STARTS, first_limit=st.integers(0, 50), sequence=SEQUENCES)
@example(start=NOW_MS, first_limit=3, sequence=[(0, 4, None), (59_999, 1, None), (1, 4, None), (1, 1, None)])
@example(start=BEFORE_WRAP, first_limit=20, sequence=[(0, 20, None), (80_000, 12, 12), (20_000, 12, 30)])
@example(start=NOW_MS, first_limit=9, sequence=[(0, 9, None), (-2_000, 3, None), (61_000, 9, 2), (60_000, 3, 40)])
def test_it_is_the_model_whatever_the_sequence(
    store: Store, start: int, first_limit: int, sequence: list[tuple[int, int, int | None]]
) -> None:
    account, model = Account(store).published(), Model()
    now, limit = start, first_limit
    for step, burst, new_limit in sequence:
        now, limit = now + step, limit if new_limit is None else new_limit
        for _ in range(burst):
            expected = model.fits(now, limit)
            passed, used, wait_ms = ask(account, now, limit)
            assert passed is expected
            if passed:
                model.take(now)
            assert used == model.used(now)
            assert_wait_is_true(model, now, limit, wait_ms)
    assert_no_window_holds_more(model, sequence, first_limit)


def assert_wait_is_true(model: Model, now: int, limit: int, wait_ms: int | None) -> None:
    if limit == 0:
        assert wait_ms is None
    elif model.used(now) == 0:
        assert wait_ms == 0
    elif not model.fits(now, limit):
        assert wait_ms is not None and wait_ms > 0
        assert model.fits(now + wait_ms, limit) and not model.fits(now + wait_ms - 1, limit)
    else:
        assert wait_ms is not None and wait_ms > 0
        assert model.used(now + wait_ms) < model.used(now + wait_ms - 1) == model.used(now)


def assert_no_window_holds_more(model: Model, sequence: list[tuple[int, int, int | None]], first_limit: int) -> None:
    largest = max([first_limit, *(limit for _, _, limit in sequence if limit is not None)])
    for last in model.stamps:
        assert sum(last - WINDOW_MS < stamp <= last for stamp in model.stamps) <= largest


@pytest.mark.parametrize("start", [NOW_MS, BEFORE_WRAP + 80_000], ids=["now", "wrap"])
@pytest.mark.parametrize(("age", "passes"), [(59_999, False), (60_000, True), (60_001, True)])
def test_a_request_counts_for_exactly_sixty_seconds(account: Account, start: int, age: int, passes: bool) -> None:
    assert [ask(account, start, 3)[0] for _ in range(4)] == [True, True, True, False]
    assert ask(account, start + age, 3)[0] is passes


@pytest.mark.parametrize("limit", [1, 2, 7, 8, 9, 50])
def test_an_idle_account_may_spend_everything_at_once(account: Account, limit: int) -> None:
    for now in (NOW_MS, NOW_MS + 60_000, NOW_MS + 120_000 + 5):
        assert [ask(account, now, limit)[0] for _ in range(limit + 1)] == [True] * limit + [False]


@given(gaps=st.lists(st.integers(0, 14_999), min_size=5, max_size=5), lag=st.sampled_from([0, 1, 4_000, 70_000]))
@examples(40, 400)
def test_waiting_succeeds_and_waiting_a_millisecond_less_does_not(store: Store, gaps: list[int], lag: int) -> None:
    account, now = Account(store).published(), NOW_MS
    for gap in gaps:
        now += gap
        ask(account, now, 5)
    now -= lag
    passed, _, wait_ms = ask(account, now, 5)
    assert not passed and wait_ms is not None
    assert not ask(account, now + wait_ms - 1, 5)[0]
    assert ask(account, now + wait_ms, 5)[0]


@pytest.mark.parametrize("days", [20, 25, 30, 31, 49, 50, 60, 365])
def test_a_jump_of_any_length_frees_everything(account: Account, days: int) -> None:
    # Only a test's clock jumps like this while the key lives; a month later is not a step back.
    for now in (NOW_MS, NOW_MS + days * 86_400_000):
        assert [ask(account, now, 9)[0] for _ in range(10)] == [True] * 9 + [False]


def test_a_lowered_limit_waits_for_the_surplus_as_well(account: Account) -> None:
    for second in range(10):
        assert ask(account, NOW_MS + 1000 * second, 10)[0]
    passed, used, wait_ms = ask(account, NOW_MS + 9_000, 4)
    assert (passed, used, wait_ms) == (False, 10, 57_000)  # the seventh of ten has to leave
    assert ask(account, NOW_MS + 9_000, 11)[0]


def test_the_ring_grows_by_doubling_up_to_the_limit(server: Any, account: Account) -> None:
    capacities = []
    for _ in range(50):
        assert ask(account, NOW_MS, 50)[0]
        capacities.append(struct.unpack(">I", server.getrange(account.keys.ring, 0, 3))[0])
    assert capacities == [8] * 8 + [16] * 8 + [32] * 16 + [56] * 18
    assert not ask(account, NOW_MS, 50)[0]


def test_the_body_is_written_at_every_eighth_call(server: Any, account: Account) -> None:
    lengths = []
    for _ in range(17):
        ask(account, NOW_MS, 50)
        lengths.append((server.strlen(account.keys.ring), server.strlen(account.keys.ring_body)))
    heads = [24 + 4 * n for n in (1, 2, 3, 4, 5, 6, 7, 0)]
    assert [head for head, _ in lengths] == heads + heads + [28]
    assert [body for _, body in lengths] == [0] * 7 + [32] * 8 + [64] * 2


def test_a_body_that_is_lost_has_left_the_window(server: Any, account: Account) -> None:
    """It can only go before its time when somebody deletes it."""
    for second in range(10):
        ask(account, NOW_MS + 1000 * second, 10)
    server.delete(account.keys.ring_body)
    passed, used, wait_ms = ask(account, NOW_MS + 60_000, 10)
    assert (passed, used, wait_ms) == (True, 3, 8_000)  # the ninth and tenth stood in the head


def test_a_ring_that_has_turned_keeps_its_order_when_it_grows(account: Account) -> None:
    model = Model()
    for step in range(40):  # never full below a limit of 8, so `first` wanders
        now = NOW_MS + 9_000 * step
        assert ask(account, now, 8)[0] is model.fits(now, 8)
        model.take(now)
    for _ in range(30):
        now += 400
        expected = model.fits(now, 20)
        assert ask(account, now, 20)[0] is expected
        if expected:
            model.take(now)


def test_ten_thousand_requests_a_minute_take_four_bytes_each(server: Any, account: Account) -> None:
    limit = 10_000
    passed = sum(ask(account, NOW_MS + i, limit)[0] for i in range(limit + 20))
    assert passed == limit
    assert server.strlen(account.keys.ring) == 24
    assert server.strlen(account.keys.ring_body) == 4 * limit
    assert server.memory_usage(account.keys.ring_body) < 9 * limit  # the string's reserve for growth included
    assert ask(account, NOW_MS + 59_999, limit)[0] is False
    assert ask(account, NOW_MS + 60_000, limit)[0] is True
    assert ask(account, NOW_MS + 60_000, limit)[0] is False


def test_a_full_ring_of_sixty_is_small(server: Any, account: Account) -> None:
    for _ in range(60):
        ask(account, NOW_MS, 60)
    assert (server.strlen(account.keys.ring), server.strlen(account.keys.ring_body)) == (40, 224)
    assert sum(server.memory_usage(key) for key in (account.keys.ring, account.keys.ring_body)) < 750


def test_an_idle_ring_expires_with_its_window(server: Any, account: Account) -> None:
    for _ in range(8):
        ask(account, NOW_MS, 20)
    for key in (account.keys.ring, account.keys.ring_body):
        assert 59_000 < server.pttl(key) <= 60_000
    for _ in range(8):
        ask(account, NOW_MS - 2_000, 20)  # time stands still for two seconds, and only then does the minute begin
    for key in (account.keys.ring, account.keys.ring_body):
        assert 61_000 < server.pttl(key) <= 62_000


def test_reading_and_being_refused_leave_no_trace(account: Account, everything: Any) -> None:
    for _ in range(3):
        ask(account, NOW_MS, 3)
    before = everything()
    assert not ask(account, NOW_MS + 10, 3)[0]
    assert account.used(minute(3)) == 3
    assert everything() == before
