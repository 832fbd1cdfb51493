"""damaged.lua and ratelimit/damage.py: keys that somebody has overwritten stop a script before it writes."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from ratelimit import damage, process_state
from ratelimit.limiter import Keyed
from ratelimit.limits import Outcome
from tests.ratelimit.account import NOW_MS, WINDOW_STARTS_AT_MS, Account, Wants, minute, quota

TAKES = (Wants(minute(50), 1), Wants(quota(None), 5))
AUDIT = b'[1,"text"]'


@pytest.fixture
def keyed(account: Account) -> Keyed:
    """The account has called 18 times, so its ring has both halves, once under this key; and was voided once."""
    keyed = account.keyed("k")
    for _ in range(17):
        account.admit(*TAKES)
    account.void(TAKES[1], "e")
    account.admit(*TAKES, keyed=keyed, audit=AUDIT)
    return keyed


@pytest.mark.parametrize("later_ms", [0, 30_000, 10**7])
def test_what_the_scripts_have_written_is_not_damaged(account: Account, keyed: Keyed, later_ms: int) -> None:
    account.admit(*TAKES, now_ms=NOW_MS + later_ms)
    names = account.all_keys(keyed=[keyed])
    assert damage.find(account.store, [*names, account.keys.void_marker("e")]) == {}
    assert not damage.remove(account.store, names)


def test_nor_is_what_is_not_there_or_was_announced(account: Account, server: Any, keyed: Keyed) -> None:
    server.flushall()
    assert damage.find(account.store, account.all_keys(keyed=[keyed])) == {}
    server.set(account.keys.fence, "07")
    assert damage.find(account.store, [account.keys.fence]) == {}


def test_of_another_type_they_are_found_with_it_and_removed_together(
    account: Account, server: Any, keyed: Keyed
) -> None:
    for name in account.all_keys(keyed=[keyed]):
        server.delete(name)
        server.sadd(name, "member")
    names = account.all_keys(keyed=[keyed])
    assert damage.find(account.store, names) == dict.fromkeys(names, "set")
    server.delete(account.keys.fence)
    assert damage.remove(account.store, [keyed.record, account.keys.fence, account.keys.ring])
    assert not server.exists(keyed.record, account.keys.fence, account.keys.ring)


HEADS = {
    "empty": lambda head: b"",
    "shorter": lambda head: head[:-1],
    "longer": lambda head: head + b"\0",
    "without its header": lambda head: head[:10],
    "text": lambda head: b"A" * len(head),
    "a place beyond its capacity": lambda head: head[:4] + b"\0\0\1\2" + head[8:],
    "more than its capacity": lambda head: head[:8] + b"\0\0\1\2" + head[12:],
    "of another day": lambda head: head[:16] + b"\x43" + head[17:],
}


@pytest.mark.parametrize("what", HEADS)
def test_a_ring_that_no_script_has_written_is_refused_before_a_write(
    account: Account, server: Any, everything: Any, keyed: Keyed, what: str
) -> None:
    head = HEADS[what](server.get(account.keys.ring))
    server.set(account.keys.ring, head)
    before = everything()
    with pytest.raises(ResponseError):
        account.admit(*TAKES)
    assert everything() == before
    assert damage.find(account.store, [account.keys.ring]) == {account.keys.ring: "string"}


@pytest.mark.parametrize("times", range(9))
def test_a_body_of_another_type_is_refused_before_a_write_or_not_needed(
    account: Account, server: Any, everything: Any, times: int
) -> None:
    """Also where the limit was lowered, and a stamp of the body says how long to wait."""
    for _ in range(20):
        account.admit(*TAKES)
    server.delete(account.keys.ring_body)
    server.sadd(account.keys.ring_body, "member")
    for wants in (*[TAKES] * times, (Wants(minute(9), 0), TAKES[1])):
        before = everything()
        try:
            assert account.admit(*wants).outcome is Outcome.ADMITTED
        except ResponseError:
            assert everything() == before
            break
    else:
        pytest.fail("nobody needed the body")


@pytest.mark.parametrize(
    ("field", "text"),
    [("e", None), ("a", None), ("e", b"\xff"), ("t", b"text"), ("n", b"1e3"), ("c", b"text"), ("c", b"200")],
)
def test_a_record_that_no_script_has_written_is_refused_before_a_write(
    account: Account, server: Any, everything: Any, keyed: Keyed, field: str, text: bytes | None
) -> None:
    if text is None:
        server.hdel(keyed.record, field)
    else:
        server.hset(keyed.record, field, text)
    before = everything()
    with pytest.raises(ResponseError, match="not a"):
        account.admit(*TAKES, keyed=keyed, now_ms=NOW_MS + 1)
    assert everything() == before
    assert damage.find(account.store, [keyed.record]) == {keyed.record: "hash"}


@pytest.mark.parametrize("text", ["010", "-0", "00", "+1", " 1", "1 ", "-", "1.0"])
@pytest.mark.parametrize("field", ["p", "l", "r"])
def test_a_number_that_redis_would_not_add_to_is_refused_before_a_write(
    account: Account, server: Any, everything: Any, keyed: Keyed, field: str, text: str
) -> None:
    key = account.keys.quota(WINDOW_STARTS_AT_MS)
    server.hset(key, field, text)
    before = everything()
    with pytest.raises(ResponseError, match="not a counter"):
        account.admit(*TAKES)
    assert everything() == before
    assert damage.find(account.store, [key]) == {key: "hash"}


def test_it_is_told_once_a_while_for_each(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        damage.tell("account 7", "PostgreSQL decides its calls", ResponseError("no script: 1 script: abc"))
    damage.tell("account 8", "PostgreSQL decides its calls", "reason")
    assert [record.getMessage()[:55] for record in caplog.records] == [
        "Redis holds something else where account 7 should be (n",
        "Redis holds something else where account 8 should be (r",
    ]
    process_state.start_anew()
