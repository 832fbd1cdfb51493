"""The same calls on a Redis Cluster: every shard in one slot, moved slots followed, a lost node no second charge."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.conf import settings
from redis.crc import key_slot

from ratelimit import counters
from ratelimit.counters import Entry
from ratelimit.keys import shard_of
from ratelimit.limiter import Voided
from ratelimit.limits import Outcome
from ratelimit.servers.cluster import Cluster
from ratelimit.servers.single import RedisUnreachable, ServerChanged
from tests.ratelimit.account import Account, Wants, minute, quota
from tests.ratelimit.cluster import ThreeNodes, slot_of, standing_still, the_cluster
from tests.ratelimit.conftest import PATIENT_SECONDS

HURRIED_SECONDS = 0.3
TAKES = (Wants(minute(50), 1), Wants(quota(100), 10))


@pytest.fixture
def cluster() -> ThreeNodes:
    the_cluster().mend()
    return the_cluster()


@pytest.fixture
def store(cluster: ThreeNodes) -> Cluster:
    return Cluster(cluster.url, PATIENT_SECONDS)


def events(cluster: ThreeNodes, account: Account) -> list[bytes]:
    node = cluster.owner(shard_of(account.number))
    return [fields[b"e"] for _, fields in cluster.command(node, "XRANGE", account.keys.stream, "-", "+")]


def account_on(cluster: ThreeNodes, store: Cluster, number: int) -> Account:
    """A fresh account whose shard is served by the node of that number."""
    while True:
        account = Account(store)
        if cluster.owner(shard_of(account.number)) is cluster.nodes[number]:
            return account.published()


def test_every_key_of_a_call_lies_in_its_shards_slot(store: Cluster) -> None:
    for _ in range(settings.RATELIMIT_SHARDS):
        account = Account(store)
        names = [*account.all_keys(keyed=[account.keyed("key")]), account.keys.void_marker("event")]
        assert {key_slot(name) for name in names} == {slot_of(shard_of(account.number))}


def test_accounts_on_every_node_are_admitted_voided_and_acknowledged(cluster: ThreeNodes, store: Cluster) -> None:
    for account in [account_on(cluster, store, number) for number in (0, 1, 2, 0, 1, 2)]:
        keyed = account.keyed("key")
        name = f"event-of-{account.number}"
        assert account.admit(*TAKES, event=name, keyed=keyed).outcome is Outcome.ADMITTED
        assert account.admit(*TAKES, keyed=keyed).outcome is Outcome.IN_PROGRESS
        assert account.admit(TAKES[0], Wants(quota(1, 0), 2)).outcome is Outcome.REFUSED
        account.admit(*TAKES)
        assert account.void(TAKES[1], name)[0] is Voided.VOIDED
        node = cluster.owner(shard_of(account.number))
        entries = cluster.command(node, "XRANGE", account.keys.stream, "-", "+")
        tokens = {b"audit": 10, b"void": -10}
        drained = [Entry(stream_id, 0, tokens[fields[b"e"]]) for stream_id, fields in entries]
        assert counters.acknowledge(store, account.keys.stream, [account.counter(10, 1)], drained) == 3
        assert account.used(quota(100)) == 10
        assert account.at(2).published().admit(*TAKES, audit=b"").outcome is Outcome.ADMITTED


def test_a_question_goes_to_whoever_serves_the_slot(cluster: ThreeNodes, store: Cluster) -> None:
    account = account_on(cluster, store, 0)
    account.admit(*TAKES, audit=b"an event")
    name = account.keys.stream
    assert store.ask(name, b"XLEN", name) >= 1
    cluster.move(shard_of(account.number), cluster.nodes[1])
    assert store.ask(name, b"XLEN", name) >= 1  # by way of MOVED


def test_a_slot_that_has_moved_is_followed_and_charged_once(cluster: ThreeNodes, store: Cluster) -> None:
    account = account_on(cluster, store, 0)
    account.admit(*TAKES, audit=b"before")
    cluster.move(shard_of(account.number), cluster.nodes[1])
    decision = account.admit(*TAKES, audit=b"after")  # by way of MOVED: this client's map is old
    assert decision.outcome is Outcome.ADMITTED
    assert [standing.used for standing in decision.standings] == [2, 20]
    assert [event for event in events(cluster, account) if event in (b"before", b"after")] == [b"before", b"after"]


def test_a_slot_that_is_being_moved_is_followed_or_unreachable_and_charged_once(
    cluster: ThreeNodes, store: Cluster
) -> None:
    account = account_on(cluster, store, 0)
    for _ in range(8):
        account.admit(TAKES[0], Wants(quota(None), 0), audit=b"")
    account.admit(*TAKES)  # now all its keys are there: only then can a call run while they move
    shard, source, target = shard_of(account.number), cluster.nodes[0], cluster.nodes[1]
    hurried = Account(Cluster(cluster.url, HURRIED_SECONDS), account.number)
    epoch = store.epoch
    cluster.begin_move(shard, target)
    try:
        assert account.admit(*TAKES, epoch=epoch).standings[1].used == 20
        cluster.carry_keys(shard, source, target)
        assert account.admit(*TAKES, epoch=epoch).standings[1].used == 30  # by way of ASK
        newcomer = Account(hurried.store, account.number + settings.RATELIMIT_SHARDS)
        with pytest.raises(RedisUnreachable, match="moving"):  # TRYAGAIN until the move is over
            newcomer.published()
    finally:
        cluster.finish_move(shard, target)
    with pytest.raises(ServerChanged):  # by way of MOVED
        account.admit(*TAKES, epoch=epoch)
    assert [account.admit(*TAKES).standings[1].used for _ in range(2)] == [40, 50]
    assert newcomer.published().admit(*TAKES).outcome is Outcome.ADMITTED


def test_a_slot_that_moves_while_calls_are_made_loses_and_doubles_nothing(cluster: ThreeNodes, store: Cluster) -> None:
    account = account_on(cluster, store, 1)
    account.admit(*TAKES, audit=b"0")
    answered = 1
    for target in (cluster.nodes[2], cluster.nodes[1]):
        mover = threading.Thread(target=cluster.move, args=(shard_of(account.number), target))
        mover.start()
        while mover.is_alive():
            assert account.ask(Wants(quota(None), 1), audit=str(answered).encode())
            answered += 1
        mover.join()
    assert events(cluster, account) == [str(n).encode() for n in range(answered)]
    assert account.used(quota(None)) == 10 + answered - 1


def test_forgotten_scripts_are_sent_again_to_each_node(cluster: ThreeNodes, store: Cluster) -> None:
    accounts = [account_on(cluster, store, number) for number in range(3)]
    for node in cluster.nodes:
        cluster.command(node, "SCRIPT", "FLUSH")
    assert [account.admit(*TAKES).outcome for account in accounts] == [Outcome.ADMITTED] * 3


def test_a_node_that_hangs_is_unreachable_and_charges_once_at_most(cluster: ThreeNodes, store: Cluster) -> None:
    account, bystander = account_on(cluster, store, 2), account_on(cluster, store, 0)
    account.admit(*TAKES, audit=b"before")
    hurried = Account(Cluster(cluster.url, HURRIED_SECONDS), account.number)
    hurried.admit(*TAKES, audit=b"before")
    with standing_still(cluster.nodes[2]):
        with pytest.raises(RedisUnreachable):
            hurried.admit(*TAKES, audit=b"nobody knows")
        assert Account(hurried.store, bystander.number).admit(*TAKES).outcome is Outcome.ADMITTED
    cluster.wait_for("ok", cluster.nodes)
    found = events(cluster, account)
    assert found.count(b"nobody knows") <= 1
    assert account.used(quota(100)) == 10 * (2 + found.count(b"nobody knows"))


def test_a_lost_node_is_unreachable_and_comes_back_with_what_it_acknowledged(
    cluster: ThreeNodes, store: Cluster
) -> None:
    account, bystander = account_on(cluster, store, 2), account_on(cluster, store, 0)
    account.admit(*TAKES)
    bystander.admit(*TAKES)
    cluster.nodes[2].kill()
    with pytest.raises(RedisUnreachable):
        account.admit(*TAKES)
    cluster.wait_for("fail", cluster.nodes[:2])
    for lost in (account, bystander):  # by now the other nodes refuse as well: CLUSTERDOWN
        with pytest.raises(RedisUnreachable):
            lost.admit(*TAKES)
    cluster.start_node(cluster.nodes[2])
    cluster.wait_for("ok", cluster.nodes)
    assert [each.admit(*TAKES).standings[1].used for each in (account, bystander)] == [20, 20]


def test_a_cluster_that_is_not_there_is_unreachable_from_the_first_call_on(tmp_path: Path) -> None:
    nowhere = Cluster("redis://127.0.0.1:1/0", HURRIED_SECONDS)
    for _ in range(2):
        with pytest.raises(RedisUnreachable):
            Account(nowhere).admit(*TAKES)
