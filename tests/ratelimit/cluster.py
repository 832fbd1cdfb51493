"""A Redis Cluster of three primaries, one of them with a replica, made of the same binary as the embedded server."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from billing_site.local.engines import EngineError, Valkey
from billing_site.local.engines.places import sockets_root
from billing_site.local.engines.process import wait_until
from ratelimit.keys import shard_tag
from tests.ports import free_port

SLOTS = 16_384
PATIENCE_SECONDS = 30
NODE_TIMEOUT_MS = 1000


class ThreeNodes:
    """The first three nodes serve a third of the slots each, the last one is a replica of the second.

    What they acknowledge survives a kill.
    """

    def __init__(self, folder: Path) -> None:
        self.nodes = [
            Valkey(folder / f"node-{n}", port=free_port(), cluster=True, durable=True, appendfsync="always")
            for n in range(4)
        ]

    @property
    def url(self) -> str:
        return self.nodes[0].url

    @property
    def primary(self) -> Valkey:
        """The one that has a replica."""
        return self.nodes[1]

    @property
    def replica(self) -> Valkey:
        return self.nodes[3]

    def start(self) -> None:
        for node in self.nodes:
            self.start_node(node)
        bounds = [SLOTS * n // 3 for n in range(4)]
        for n, node in enumerate(self.nodes):
            self.command(node, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if node is not self.replica:
                self.command(node, "CLUSTER", "ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
            self.command(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_for("", self.nodes)
        self.command(self.replica, "CLUSTER", "REPLICATE", self.command(self.primary, "CLUSTER", "MYID"))
        self.mend()

    def mend(self) -> None:
        """Whatever a test has killed is back, every node is empty, and the replica follows its primary."""
        for node in self.nodes:
            if node.process is None:
                self.start_node(node)
        self.wait_for("ok", self.nodes)
        for node in self.nodes[:3]:
            self.command(node, "FLUSHALL")
        self.wait_for_replication()
        wait_until(self.names_its_replica, PATIENCE_SECONDS, "the first node does not hear of the replica")

    def names_its_replica(self) -> bool:
        """Whether the first node, which clients ask, lists the replica: not before it has heard that it holds data."""
        served = [node for _, _, *nodes in self.command(self.nodes[0], "CLUSTER", "SLOTS") for node in nodes]
        return any(port == self.replica.port for _, port, *_ in served)

    def start_node(self, node: Valkey) -> None:
        node.start()
        self.command(node, "CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MS)
        self.command(node, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
        # Who takes over, and when, is the test's decision: a busy machine must not make it.
        self.command(node, "CONFIG", "SET", "cluster-replica-no-failover", "yes")

    def wait_for_replication(self) -> None:
        """Until the replica follows its primary and has all that was written there."""

        def has_all() -> bool:
            behind = self.command(self.replica, "INFO", "replication")
            if (behind["role"], behind.get("master_link_status")) != ("slave", "up"):
                return False
            ahead = self.command(self.primary, "INFO", "replication")
            return bool(behind["slave_repl_offset"] >= ahead["master_repl_offset"])

        wait_until(has_all, PATIENCE_SECONDS, "the replica does not follow its primary")

    def cut_off_replica(self) -> None:
        """It gets nothing from here on, unless it can ask for it."""
        self.command(self.primary, "CLIENT", "KILL", "TYPE", "replica")

    def fail_over(self) -> None:
        """The primary is killed, and its replica takes over with the data it has."""
        self.primary.kill()
        self.take_over()

    def take_over(self) -> None:
        self.command(self.replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        self.trade_places()

    def trade_places(self) -> None:
        """Once all that are alive agree that the replica is the primary now."""
        self.nodes[1], self.nodes[3] = self.nodes[3], self.nodes[1]
        alive = [node for node in self.nodes if node.process]

        def primaries(node: Valkey) -> set[int]:
            return {primary[1] for _, _, primary, *_ in self.command(node, "CLUSTER", "SLOTS")}

        expected = {node.port for node in self.nodes[:3]}
        wait_until(lambda: all(primaries(node) == expected for node in alive), PATIENCE_SECONDS, "nobody takes over")
        self.wait_for("ok", alive)

    def stop(self) -> None:
        for node in self.nodes:
            if node.process:
                node.process.send_signal(signal.SIGCONT)
            node.kill()

    def wait_for(self, state: str, nodes: list[Valkey]) -> None:
        """Until all of these see all nodes and the whole cluster in this state ("": in any)."""

        def seen(node: Valkey) -> bool:
            facts = self.command(node, "CLUSTER", "INFO").split()
            known = f"cluster_known_nodes:{len(self.nodes)}".encode()
            return known in facts and (not state or f"cluster_state:{state}".encode() in facts)

        wait_until(lambda: all(map(seen, nodes)), PATIENCE_SECONDS, f"the cluster does not become {state}")

    def owner(self, shard: int) -> Valkey:
        """The node that serves a shard's slot, as the nodes themselves see it."""
        slot = slot_of(shard)
        alive = next(node for node in self.nodes if node.process)
        for first, last, primary, *_ in self.command(alive, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"slot {slot} is served by nobody")

    def move(self, shard: int, target: Valkey) -> None:
        """Move a shard's slot with all its keys, as an operator's resharding does."""
        source = self.owner(shard)
        self.begin_move(shard, target)
        self.carry_keys(shard, source, target)
        self.finish_move(shard, target)

    def begin_move(self, shard: int, target: Valkey) -> None:
        slot, source = slot_of(shard), self.owner(shard)
        source_id, target_id = (self.command(node, "CLUSTER", "MYID") for node in (source, target))
        self.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        self.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)

    def carry_keys(self, shard: int, source: Valkey, target: Valkey) -> None:
        while keys := self.command(source, "CLUSTER", "GETKEYSINSLOT", slot_of(shard), 100):
            self.command(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def finish_move(self, shard: int, target: Valkey) -> None:
        slot, source = slot_of(shard), self.owner(shard)
        target_id = self.command(target, "CLUSTER", "MYID")
        for node in (target, source):
            self.command(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)
        wait_until(lambda: self.owner(shard) is target, PATIENCE_SECONDS, f"slot {slot} does not move")

    def command(self, node: Valkey, *words: Any) -> Any:
        with redis.Redis(port=node.port, protocol=2) as client:
            return client.execute_command(*words)


def slot_of(shard: int) -> int:
    return int(key_slot(shard_tag(shard).encode()))


@cache
def the_cluster() -> ThreeNodes:
    """The one of this test process, started when it is first asked for: `mend` it before use."""
    folder = Path(tempfile.mkdtemp(prefix=f"pbv-{os.geteuid()}-", dir=sockets_root()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for tries_left in (2, 1, 0):  # by the last one it is returned or raised
        nodes = ThreeNodes(folder)
        atexit.register(nodes.stop)
        try:
            nodes.start()
        except EngineError:  # somebody has taken a port since it was found free
            nodes.stop()
            if not tries_left:
                raise
        else:
            return nodes
    raise AssertionError("unreachable")


@contextmanager
def standing_still(node: Valkey) -> Iterator[None]:
    """The node's process is stopped; the kernel goes on accepting connections for it."""
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.process.send_signal(signal.SIGCONT)
