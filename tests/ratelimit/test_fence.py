"""lua/fragments/fence.lua and scripts/raise_fences.lua: no decision rests on stale facts, and versions only grow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from ratelimit import scripts
from ratelimit.keys import catalogue_fence, shard_of
from ratelimit.limiter import StaleFacts
from ratelimit.limits import Outcome
from ratelimit.servers.single import Command, Store
from tests.ratelimit.account import Account, Wants, minute, quota

TAKES = (Wants(minute(9), 1), Wants(quota(9), 1))


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


@pytest.mark.parametrize("version", [2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**53 // 10, 10**15 - 1])
def test_large_versions_are_compared_exactly(account: Account, version: int) -> None:
    account.at(version, version).published()
    assert account.at(version, version).admit(*TAKES).outcome is Outcome.ADMITTED
    assert account.at(version - 1, version).ask(*TAKES) == StaleFacts(version, version)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**15 - 1), st.integers(1, 10**15 - 1)), max_size=8))
def test_raising_and_telling_never_lower(store: Store, steps: list[tuple[bool, int, int]]) -> None:
    account = Account(store)
    account.store.run(Command(scripts.RAISE_FENCES, [account.keys.fence, account.keys.catalogue_fence], [1, 1]))
    before = account.at(10**15 - 1, 10**15 - 1).ask(*TAKES)
    held = list(before) if isinstance(before, StaleFacts) else [10**15 - 1] * 2
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

    @pytest.mark.parametrize("version", [1, 3, 10**15 - 1])
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

    @pytest.mark.parametrize("version", [b"nan", b"-1", b"", b"1" * 16])
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


@pytest.mark.parametrize("version", [b"nan", b"0x10", b"1e3", b" 5 ", b"-1", b"", b"1" * 16])
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
def test_a_fence_of_another_type_is_an_error_and_nothing_changes(
    account: Account, server: Any, everything: Any, which: str
) -> None:
    server.delete(getattr(account.keys, which))
    server.sadd(getattr(account.keys, which), "member")
    before = everything()
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        account.at(2, 2).published(account.counter(5, 5))
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        account.store.run(Command(scripts.RAISE_FENCES, [account.keys.fence, account.keys.catalogue_fence], [3, 3]))
    assert isinstance(account.ask(*TAKES), StaleFacts)
    assert everything() == before
