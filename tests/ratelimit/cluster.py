"""A Redis Cluster of three primaries, one of them with a replica, made of the same binary as the embedded server."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from billing_site.engines import Valkey
from billing_site.engines.places import sockets_root
from billing_site.engines.process import wait_until
from ratelimit.keys import shard_tag
from tests.ports import free_port

SLOTS = 16_384
PATIENCE_SECONDS = 30
NODE_TIMEOUT_MS = 1000


class ThreeNodes:
    """Each node serves a third of the slots. What they acknowledge survives a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = [self._node(n) for n in range(3)]

    def _node(self, number: int) -> Valkey:
        home = self.folder / f"node-{number}"
        return Valkey(home, port=free_port(), cluster=True, durable=True, appendfsync="always")

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def start(self) -> None:
        for node in self.nodes:
            self.start_node(node)
        bounds = [SLOTS * n // 3 for n in range(4)]
        for n, node in enumerate(self.nodes):
            self.command(node, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            self.command(node, "CLUSTER", "ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
            self.command(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_for("ok", self.nodes)

    def start_node(self, node: Valkey) -> None:
        node.start()
        self.command(node, "CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MS)
        self.command(node, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
        # Who takes over, and when, is the test's decision: a busy machine must not make it.
        self.command(node, "CONFIG", "SET", "cluster-replica-no-failover", "yes")

    def add_replica(self, primary: Valkey) -> Valkey:
        """A fourth node that holds what `primary` holds."""
        replica = self._node(len(self.nodes))
        self.start_node(replica)
        self.nodes.append(replica)
        self.command(replica, "CLUSTER", "MEET", "127.0.0.1", primary.port)
        self.wait_for("ok", self.nodes)
        self.command(replica, "CLUSTER", "REPLICATE", self.command(primary, "CLUSTER", "MYID"))
        self.wait_for_replication(replica)
        return replica

    def wait_for_replication(self, replica: Valkey) -> None:
        """Until the replica has caught up with its primary and follows it."""

        def follows() -> bool:
            facts = self.command(replica, "INFO", "replication")
            return facts["role"] == "slave" and facts["master_link_status"] == "up"

        wait_until(follows, PATIENCE_SECONDS, "the replica does not follow its primary")

    def role(self, node: Valkey) -> str:
        return str(self.command(node, "INFO", "replication")["role"])

    def take_over(self, replica: Valkey, lost: Valkey) -> None:
        """The replica becomes primary of what the lost node served, with the data it has."""
        self.command(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        self.wait_for("ok", [node for node in self.nodes if node is not lost])

    def stop(self) -> None:
        for node in self.nodes:
            if node.process:
                node.process.send_signal(signal.SIGCONT)
            node.kill()

    def wait_for(self, state: str, nodes: list[Valkey]) -> None:
        """Until all of these see all nodes and the whole cluster in this state."""

        def seen(node: Valkey) -> bool:
            facts = self.command(node, "CLUSTER", "INFO").split()
            known = f"cluster_known_nodes:{len(self.nodes)}".encode()
            return {f"cluster_state:{state}".encode(), known} <= set(facts)

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


@contextmanager
def three_nodes() -> Iterator[ThreeNodes]:
    """A running cluster, gone afterwards with all it held."""
    folder = Path(tempfile.mkdtemp(prefix=f"pbv-{os.geteuid()}-", dir=sockets_root()))
    nodes = ThreeNodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder)


@contextmanager
def standing_still(node: Valkey) -> Iterator[None]:
    """The node's process is stopped; the kernel goes on accepting connections for it."""
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.process.send_signal(signal.SIGCONT)
