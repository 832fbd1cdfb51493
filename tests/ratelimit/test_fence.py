"""lua/fragments/fence.lua and scripts/raise_fences.lua: no decision rests on stale facts, and versions only grow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from ratelimit import scripts
from ratelimit.keys import catalogue_fence, shard_of
from ratelimit.limiter import StaleFacts
from ratelimit.limits import LARGEST_VERSION, Outcome
from ratelimit.servers.single import Command, Store
from tests.effort import examples
from tests.ratelimit.account import Account, Wants, minute, quota

TAKES = (Wants(minute(9), 1), Wants(quota(9), 1))
VERSIONS = st.integers(1, LARGEST_VERSION)


@pytest.mark.parametrize(
    ("account_version", "catalogue_version"),
    [(1, 1), (6, 7), (5, 6), (5, 8), (4, 7), (2**31, 7), (5, 2**31 + 1)],
)
def test_versions_that_differ_are_stale_and_charge_nothing(
    account: Account, everything: Any, account_version: int, catalogue_version: int
) -> None:
    account.at(5, 7).published()
    before = everything()
    assert account.at(account_version, catalogue_version).ask(*TAKES) == StaleFacts(5, 7)
    assert everything() == before
    assert account.at(5, 7).admit(*TAKES).outcome is Outcome.ADMITTED


def test_a_stale_account_is_not_even_refused(account: Account) -> None:
    account.at(2).published()
    assert isinstance(account.ask(Wants(quota(0), 1)), StaleFacts)


def test_after_a_flush_nothing_is_known(account: Account, server: Any) -> None:
    server.flushall()
    assert account.ask(*TAKES) == StaleFacts(0, 0)
    account.published()
    assert account.admit(*TAKES).outcome is Outcome.ADMITTED


@pytest.mark.parametrize("version", [2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**53 // 100, LARGEST_VERSION])
def test_large_versions_are_compared_exactly(account: Account, version: int) -> None:
    account.at(version, version).published()
    assert account.at(version, version).admit(*TAKES).outcome is Outcome.ADMITTED
    assert account.at(version - 1, version).ask(*TAKES) == StaleFacts(version, version)


@examples(30, 300)
@given(st.lists(st.tuples(st.booleans(), VERSIONS, VERSIONS), max_size=8))
def test_raising_and_telling_never_lower(store: Store, steps: list[tuple[bool, int, int]]) -> None:
    account = Account(store)
    account.store.run(Command(scripts.RAISE_FENCES, [account.keys.fence, account.keys.catalogue_fence], [1, 1]))
    before = account.at(LARGEST_VERSION, LARGEST_VERSION).ask(*TAKES)
    held = list(before) if isinstance(before, StaleFacts) else [LARGEST_VERSION] * 2
    for tells, version, catalogue in steps:
        if tells:
            account.at(version, catalogue).published()
        else:
            account.store.run(
                Command(scripts.RAISE_FENCES, [account.keys.fence, account.keys.catalogue_fence], [version, catalogue])
            )
        held = [max(held[0], version), max(held[1], catalogue)]
        assert account.at(*held).admit(*TAKES[:1]).outcome in (Outcome.ADMITTED, Outcome.REFUSED)


class TestAnnouncing:
    """A version that is pushed where the account is not known: its counters may be lost, too."""

    def announce(self, account: Account, version: int) -> None:
        account.store.run(Command(scripts.ANNOUNCE_FENCE, [account.keys.fence], [version]))

    @pytest.mark.parametrize("version", [1, 3, LARGEST_VERSION])
    def test_nothing_is_judged_by_it_before_the_account_is_told(
        self, account: Account, server: Any, version: int
    ) -> None:
        server.flushall()
        account.store.run(Command(scripts.RAISE_FENCES, [account.keys.catalogue_fence], [1]))
        self.announce(account, version)
        account = account.at(version)
        assert account.ask(*TAKES) == StaleFacts(0, 1)
        account.published()
        assert account.admit(*TAKES).outcome is Outcome.ADMITTED

    def test_whoever_has_older_facts_learns_of_it(self, account: Account, server: Any) -> None:
        server.flushall()
        self.announce(account, 5)
        account = account.at(4)
        assert account.ask(*TAKES) == StaleFacts(5, 0)
        account.published()
        assert account.ask(*TAKES) == StaleFacts(5, 1), "what is told is older"
        account = account.at(6).published()
        assert account.admit(*TAKES).outcome is Outcome.ADMITTED

    @pytest.mark.parametrize("more", [4, 5, 6])
    def test_announced_again_it_still_waits(self, account: Account, server: Any, more: int) -> None:
        server.flushall()
        self.announce(account, 5)
        self.announce(account, more)
        account = account.at(max(5, more))
        assert account.ask(*TAKES) == StaleFacts(0, 0)
        account.published()
        assert account.admit(*TAKES).outcome is Outcome.ADMITTED

    @pytest.mark.parametrize(("version", "held"), [(4, 5), (5, 5), (6, 6)])
    def test_what_is_known_is_raised(self, account: Account, version: int, held: int) -> None:
        account.at(5).published()
        self.announce(account, version)
        assert account.at(held).admit(*TAKES).outcome is Outcome.ADMITTED
        assert account.at(held - 1).ask(*TAKES) == StaleFacts(held, 1)

    @pytest.mark.parametrize("version", [b"nan", b"-1", b"", b"1" * 15, b"1" * 16])
    def test_a_version_is_a_natural_number(self, account: Account, everything: Any, version: bytes) -> None:
        before = everything()
        with pytest.raises(ResponseError, match="not a natural number"):
            account.store.run(Command(scripts.ANNOUNCE_FENCE, [account.keys.fence], [version]))
        assert everything() == before


def test_the_catalogues_fence_is_one_a_shard(store: Store) -> None:
    account, neighbour = Account(store).published(), Account(store)
    assert account.keys.catalogue_fence == catalogue_fence(shard_of(account.number)).encode()
    assert shard_of(neighbour.number) != shard_of(account.number)
    store.run(Command(scripts.RAISE_FENCES, [account.keys.catalogue_fence], [9]))
    neighbour.published()
    assert account.ask(*TAKES) == StaleFacts(1, 9)
    assert neighbour.admit(*TAKES).outcome is Outcome.ADMITTED


@pytest.mark.parametrize("version", [b"nan", b"0x10", b"1e3", b" 5 ", b"-1", b"", b"1" * 15, b"1" * 16])
def test_a_version_is_a_natural_number(account: Account, everything: Any, version: bytes) -> None:
    before = everything()
    for keys in ([account.keys.fence], [account.keys.catalogue_fence, account.keys.fence]):
        with pytest.raises(ResponseError, match="not a natural number"):
            account.store.run(Command(scripts.RAISE_FENCES, keys, [2, version][-len(keys) :]))
    for versions in ((version, b"2"), (b"2", version)):
        with pytest.raises(ResponseError, match="not a natural number"):
            account.at(*versions).published(account.counter(5, 5))
    assert everything() == before


@pytest.mark.parametrize("which", ["fence", "catalogue_fence"])
@pytest.mark.parametrize("text", [None, b"", b"text", b"nan", b"1e3", b"-1", b"9" * 15, b"9" * 30, b"\xff"])
def test_what_is_no_version_is_no_fence_and_is_replaced(
    account: Account, server: Any, which: str, text: bytes | None
) -> None:
    """None: of another type."""
    key = getattr(account.keys, which)
    server.delete(key)
    server.sadd(key, "member") if text is None else server.set(key, text)
    stale = account.ask(*TAKES)
    assert isinstance(stale, StaleFacts)
    assert getattr(stale, {"fence": "account", "catalogue_fence": "catalogue"}[which]) == 0
    account.published()
    assert account.admit(*TAKES).outcome is Outcome.ADMITTED


@pytest.mark.parametrize("name", ["raise_fences", "announce_fence"])
def test_a_push_replaces_it_too(account: Account, server: Any, name: str) -> None:
    server.delete(account.keys.fence)
    server.sadd(account.keys.fence, "member")
    account.store.run(Command(getattr(scripts, name.upper()), [account.keys.fence], [3]))
    assert int(server.get(account.keys.fence)) == 3
