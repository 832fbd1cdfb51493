"""Failovers on a Redis Cluster: who answers now is noticed, and what its replica had confirmed is not lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from billing_site.engines import Valkey
from billing_site.engines.process import wait_until
from ratelimit.cluster import Cluster
from ratelimit.keys import shard_of
from ratelimit.limits import Outcome, Take
from ratelimit.replicas import Replicas, unreplicated
from ratelimit.store import RedisUnreachable, ServerChanged, SingleServer
from tests.ratelimit.account import Account, minute, quota
from tests.ratelimit.cluster import PATIENCE_SECONDS, ThreeNodes, standing_still, three_nodes
from tests.ratelimit.conftest import PATIENT_SECONDS, connect

TAKES = (Take(minute(50), 1), Take(quota(100), 10))
BRIEF_WAIT_MS = 20


class Pair:
    """The primary that has a replica, whichever of the two nodes it is now, and that replica."""

    def __init__(self, cluster: ThreeNodes) -> None:
        self.cluster = cluster
        self.primary, self.replica = cluster.nodes[1], cluster.add_replica(cluster.nodes[1])

    def fail_over(self) -> None:
        """The primary is killed, and its replica takes over with the data it has."""
        self.primary.kill()
        self.cluster.take_over(self.replica, self.primary)
        self.primary, self.replica = self.replica, self.primary

    def mend(self) -> None:
        """What was lost comes back as a replica."""
        if self.replica.process is None:
            self.cluster.start_node(self.replica)
        self.cluster.wait_for_replication(self.replica)
        self.cluster.wait_for("ok", self.cluster.nodes)

    def account(self, store: Cluster) -> Account:
        while True:
            account = Account(store)
            if self.cluster.owner(shard_of(account.number)) is self.primary:
                return account.told()

    def cut_off(self) -> None:
        """The replica gets nothing from here on, unless it can ask for it."""
        self.cluster.command(self.primary, "CLIENT", "KILL", "TYPE", "replica")


@pytest.fixture(scope="module")
def pair_of_nodes() -> Iterator[Pair]:
    with three_nodes() as cluster:
        yield Pair(cluster)


@pytest.fixture
def pair(pair_of_nodes: Pair) -> Pair:
    pair_of_nodes.mend()
    return pair_of_nodes


@pytest.fixture
def store(pair: Pair) -> Cluster:
    return Cluster(pair.cluster.url, PATIENT_SECONDS)


def held(node: Valkey, account: Account) -> list[bytes]:
    return [fields[b"e"] for _, fields in connect(node).xrange(account.keys.stream)]


def held_by_replica(pair: Pair, account: Account) -> list[bytes]:
    with connect(pair.replica) as client:
        client.execute_command("READONLY")
        return [fields[b"e"] for _, fields in client.xrange(account.keys.stream)]


def counted() -> float:
    return unreplicated._value.get()


def test_after_a_failover_to_a_healthy_replica_nothing_is_lost_and_who_told_is_told_so(
    pair: Pair, store: Cluster
) -> None:
    account = pair.account(store)
    epoch = store.epoch
    account.admit(*TAKES, epoch=epoch)
    wait_until(lambda: len(held_by_replica(pair, account)) == 1, PATIENCE_SECONDS, "nothing is replicated")
    pair.fail_over()
    with pytest.raises(RedisUnreachable):
        account.admit(*TAKES, epoch=epoch)
    with pytest.raises(ServerChanged):
        account.admit(*TAKES, epoch=epoch)
    assert store.epoch == epoch + 1
    assert account.admit(*TAKES, epoch=store.epoch).standings[1].used == 20


def test_the_cluster_itself_replaces_a_killed_primary(pair: Pair, store: Cluster) -> None:
    account = pair.account(store)
    epoch = store.epoch
    account.admit(*TAKES)
    pair.cluster.command(pair.replica, "CONFIG", "SET", "cluster-replica-no-failover", "no")
    pair.primary.kill()

    def served_again() -> bool:
        try:
            store.ping()
        except RedisUnreachable:
            return False
        return True

    assert not served_again()
    wait_until(served_again, PATIENCE_SECONDS, "no replica takes over")
    pair.primary, pair.replica = pair.replica, pair.primary
    assert store.epoch > epoch  # nodes that have not heard of it yet may say otherwise for a moment
    assert account.told().admit(*TAKES).outcome is Outcome.ADMITTED


def test_a_lagging_replica_has_lost_what_it_never_got_and_postgresqls_counter_lifts_it(
    pair: Pair, store: Cluster
) -> None:
    account = pair.account(store)
    account.admit(*TAKES, audit=b"replicated")
    wait_until(lambda: len(held_by_replica(pair, account)) == 1, PATIENCE_SECONDS, "nothing is replicated")
    epoch = store.epoch
    with standing_still(pair.replica):
        pair.cut_off()
        for n in range(3):
            account.admit(*TAKES, audit=f"lost-{n}".encode())
        pair.primary.kill()
    pair.cluster.take_over(pair.replica, pair.primary)
    pair.primary, pair.replica = pair.replica, pair.primary
    with pytest.raises(RedisUnreachable):
        account.admit(*TAKES, epoch=epoch)
    with pytest.raises(ServerChanged):
        account.admit(*TAKES, epoch=epoch)
    assert held(pair.primary, account) == [b"replicated"]
    account.told(account.counter(80, 9))  # PostgreSQL has drained nine of ten tokens' charges, and is ahead
    assert account.admit(*TAKES, epoch=store.epoch).standings[1].used == 100
    assert account.admit(*TAKES, epoch=store.epoch).outcome is Outcome.REFUSED


def test_a_charge_that_waits_for_a_replica_is_answered_when_the_replica_has_it(pair: Pair) -> None:
    store = Cluster(pair.cluster.url, PATIENT_SECONDS, Replicas(1, int(PATIENT_SECONDS * 1000)))
    account = pair.account(store)
    answered = threading.Event()

    def charge() -> None:
        account.admit(*TAKES, audit=b"confirmed")
        answered.set()

    with standing_still(pair.replica):
        thread = threading.Thread(target=charge)
        thread.start()
        wait_until(lambda: held(pair.primary, account) == [b"confirmed"], PATIENCE_SECONDS, "nothing is charged")
        assert not answered.is_set()
    thread.join()
    pair.fail_over()
    assert held(pair.primary, account) == [b"confirmed"]


def test_too_few_replicas_change_no_decision_and_are_told_of_once(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    store = Cluster(pair.cluster.url, PATIENT_SECONDS, Replicas(1, BRIEF_WAIT_MS))
    account = pair.account(store)
    pair.cluster.wait_for_replication(pair.replica)
    before = counted()
    with caplog.at_level(logging.INFO, "ratelimit.replicas"):
        with standing_still(pair.replica):
            assert [account.admit(*TAKES).standings[1].used for _ in range(3)] == [10, 20, 30]

        def confirmed_again() -> bool:
            account.used(quota(None))
            assert store.replicas is not None
            return store.replicas.enough

        wait_until(confirmed_again, PATIENCE_SECONDS, "the replica does not confirm")
    assert counted() >= before + 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert len(held(pair.primary, account)) == 3


def test_an_idle_process_notices_two_failovers_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """There and back: the same node at the same address serves the slot again, with another one's data."""
    store = Cluster(pair.cluster.url, PATIENT_SECONDS)
    account = pair.account(store)
    epoch, first = store.epoch, pair.primary
    account.admit(*TAKES, epoch=epoch)
    for _ in range(2):
        pair.cluster.command(pair.replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        pair.primary, pair.replica = pair.replica, pair.primary
        pair.cluster.wait_for_replication(pair.replica)
    assert pair.primary is first
    monkeypatch.setattr("ratelimit.cluster.TRUSTED_SECONDS", 0.0)  # as after a second without a call
    with pytest.raises(ServerChanged):
        account.admit(*TAKES, epoch=epoch)


def test_a_single_server_waits_for_its_replica_too(pair: Pair) -> None:
    """A primary at one address, asked as such."""
    account = pair.account(Cluster(pair.cluster.url, PATIENT_SECONDS))
    store = SingleServer(pair.primary.url, PATIENT_SECONDS, Replicas(1, BRIEF_WAIT_MS))
    alone = Account(store, account.number)
    before = counted()
    pair.cluster.command(pair.primary, "SCRIPT", "FLUSH")
    assert [alone.admit(*TAKES).standings[1].used for _ in range(3)] == [10, 20, 30]
    assert counted() == before
    with standing_still(pair.replica):
        assert alone.admit(*TAKES).standings[1].used == 40
    assert counted() == before + 1
