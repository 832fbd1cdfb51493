"""Failovers on a Redis Cluster: who answers now is noticed, and what its replica had confirmed is not lost."""

from __future__ import annotations

import logging
import threading

import pytest

from billing_site.local.engines import Valkey
from billing_site.local.engines.process import wait_until
from ratelimit.keys import shard_of
from ratelimit.limits import Outcome
from ratelimit.servers.cluster import Cluster
from ratelimit.servers.replicas import Replicas, unreplicated
from ratelimit.servers.single import RedisUnreachable, ServerChanged, SingleServer
from tests.ratelimit.account import Account, Wants, minute, quota
from tests.ratelimit.cluster import PATIENCE_SECONDS, ThreeNodes, standing_still, the_cluster
from tests.ratelimit.conftest import PATIENT_SECONDS, connect

TAKES = (Wants(minute(50), 1), Wants(quota(100), 10))
BRIEF_WAIT_MS = 20


@pytest.fixture
def cluster() -> ThreeNodes:
    the_cluster().mend()
    return the_cluster()


@pytest.fixture
def store(cluster: ThreeNodes) -> Cluster:
    return Cluster(cluster.url, PATIENT_SECONDS)


def account_on_primary(cluster: ThreeNodes, store: Cluster) -> Account:
    while True:
        account = Account(store)
        if cluster.owner(shard_of(account.number)) is cluster.primary:
            return account.published()


def held(node: Valkey, account: Account) -> list[bytes]:
    return [fields[b"e"] for _, fields in connect(node).xrange(account.keys.stream)]


def counted() -> float:
    return unreplicated._value.get()


def test_after_a_failover_to_a_healthy_replica_nothing_is_lost_and_who_told_is_told_so(
    cluster: ThreeNodes, store: Cluster
) -> None:
    account = account_on_primary(cluster, store)
    epoch = store.epoch
    account.admit(*TAKES, epoch=epoch)
    cluster.wait_for_replication()
    cluster.fail_over()
    with pytest.raises(RedisUnreachable):
        account.admit(*TAKES, epoch=epoch)
    with pytest.raises(ServerChanged):
        account.admit(*TAKES, epoch=epoch)
    assert store.epoch == epoch + 1
    assert account.admit(*TAKES, epoch=store.epoch).standings[1].used == 20


def test_the_cluster_itself_replaces_a_killed_primary(cluster: ThreeNodes, store: Cluster) -> None:
    account = account_on_primary(cluster, store)
    epoch = store.epoch
    account.admit(*TAKES)
    cluster.command(cluster.replica, "CONFIG", "SET", "cluster-replica-no-failover", "no")
    cluster.primary.kill()

    def served_again() -> bool:
        try:
            store.ping()
            account.published()
        except RedisUnreachable:
            return False
        return True

    assert not served_again()
    wait_until(served_again, PATIENCE_SECONDS, "no replica takes over")
    cluster.trade_places()
    assert store.epoch > epoch  # nodes that have not heard of it yet may say otherwise for a moment
    assert account.admit(*TAKES).outcome is Outcome.ADMITTED


def test_a_lagging_replica_has_lost_what_it_never_got_and_postgresqls_counter_lifts_it(
    cluster: ThreeNodes, store: Cluster
) -> None:
    account = account_on_primary(cluster, store)
    account.admit(*TAKES, audit=b"replicated")
    cluster.wait_for_replication()
    epoch = store.epoch
    with standing_still(cluster.replica):
        cluster.cut_off_replica()
        for n in range(3):
            account.admit(*TAKES, audit=f"lost-{n}".encode())
        cluster.primary.kill()
    cluster.take_over()
    with pytest.raises(RedisUnreachable):
        account.admit(*TAKES, epoch=epoch)
    with pytest.raises(ServerChanged):
        account.admit(*TAKES, epoch=epoch)
    assert held(cluster.primary, account) == [b"replicated"]
    account.published(account.counter(80, 9))  # PostgreSQL has drained nine of ten tokens' charges, and is ahead
    assert account.admit(*TAKES, epoch=store.epoch).standings[1].used == 100
    assert account.admit(*TAKES, epoch=store.epoch).outcome is Outcome.REFUSED


def test_a_charge_that_waits_for_a_replica_is_answered_when_the_replica_has_it(cluster: ThreeNodes) -> None:
    store = Cluster(cluster.url, PATIENT_SECONDS, Replicas(1, int(PATIENT_SECONDS * 1000)))
    account = account_on_primary(cluster, store)
    answered = threading.Event()

    def charge() -> None:
        account.admit(*TAKES, audit=b"confirmed")
        answered.set()

    with standing_still(cluster.replica):
        thread = threading.Thread(target=charge)
        thread.start()
        wait_until(lambda: held(cluster.primary, account) == [b"confirmed"], PATIENCE_SECONDS, "nothing is charged")
        assert not answered.is_set()
    thread.join()
    cluster.fail_over()
    assert held(cluster.primary, account) == [b"confirmed"]


def test_too_few_replicas_change_no_decision_and_are_told_of_once(
    cluster: ThreeNodes, caplog: pytest.LogCaptureFixture
) -> None:
    store = Cluster(cluster.url, PATIENT_SECONDS, Replicas(1, BRIEF_WAIT_MS))
    account = account_on_primary(cluster, store)
    cluster.wait_for_replication()

    def confirmed() -> bool:
        account.used(quota(None))
        assert store.replicas is not None
        return store.replicas.enough

    wait_until(confirmed, PATIENCE_SECONDS, "the replica does not confirm")
    caplog.clear()  # a busy machine may have taken longer than the brief wait until here
    before = counted()
    with caplog.at_level(logging.INFO, "ratelimit.servers.replicas"):
        with standing_still(cluster.replica):
            assert [account.admit(*TAKES).standings[1].used for _ in range(3)] == [10, 20, 30]

        wait_until(confirmed, PATIENCE_SECONDS, "the replica does not confirm")
    assert counted() >= before + 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert len(held(cluster.primary, account)) == 3


def test_an_idle_process_notices_two_failovers_at_once(cluster: ThreeNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """There and back: the same node at the same address serves the slot again, with another one's data."""
    store = Cluster(cluster.url, PATIENT_SECONDS)
    account = account_on_primary(cluster, store)
    epoch, first = store.epoch, cluster.primary
    account.admit(*TAKES, epoch=epoch)
    for _ in range(2):
        cluster.take_over()
        cluster.wait_for_replication()
    assert cluster.primary is first
    monkeypatch.setattr("ratelimit.servers.cluster_node.TRUSTED_SECONDS", 0.0)  # as after a second without a call
    with pytest.raises(ServerChanged):
        account.admit(*TAKES, epoch=epoch)


def test_a_single_server_waits_for_its_replica_too(cluster: ThreeNodes) -> None:
    """A primary at one address, asked as such."""
    account = account_on_primary(cluster, Cluster(cluster.url, PATIENT_SECONDS))
    patient, brief = (
        Account(SingleServer(cluster.primary.url, PATIENT_SECONDS, Replicas(1, wait_ms)), account.number)
        for wait_ms in (int(PATIENT_SECONDS * 1000) // 2, BRIEF_WAIT_MS)
    )
    before = counted()
    cluster.command(cluster.primary, "SCRIPT", "FLUSH")
    assert [patient.admit(*TAKES).standings[1].used for _ in range(3)] == [10, 20, 30]
    assert counted() == before
    with standing_still(cluster.replica):
        assert brief.admit(*TAKES).standings[1].used == 40
    assert counted() == before + 1
