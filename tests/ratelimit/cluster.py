"""A Redis Cluster of three nodes, made of the same binary as the embedded server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from billing_site.engines import Valkey
from billing_site.engines.process import wait_until
from ratelimit.keys import shard_tag
from tests.ports import free_port

SLOTS = 16_384
PATIENCE_SECONDS = 30


class ThreeNodes:
    """Each node serves a third of the slots; there are no replicas. What they acknowledge survives a kill."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [
            Valkey(folder / f"node-{n}", port=free_port(), cluster=True, durable=True, appendfsync="always")
            for n in range(3)
        ]

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        bounds = [SLOTS * n // 3 for n in range(4)]
        for n, node in enumerate(self.nodes):
            self.command(node, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            self.command(node, "CLUSTER", "ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
            self.command(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_for("ok", self.nodes)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def wait_for(self, state: str, nodes: list[Valkey]) -> None:
        """Until all of these see three nodes and the whole cluster in this state."""

        def seen(node: Valkey) -> bool:
            facts = self.command(node, "CLUSTER", "INFO").split()
            return {f"cluster_state:{state}".encode(), b"cluster_known_nodes:3"} <= set(facts)

        wait_until(lambda: all(map(seen, nodes)), PATIENCE_SECONDS, f"the cluster does not become {state}")

    def owner(self, shard: int) -> Valkey:
        """The node that serves a shard's slot, as the nodes themselves see it."""
        slot = slot_of(shard)
        for first, last, primary, *_ in self.command(self.nodes[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"slot {slot} is served by nobody")

    def move(self, shard: int, target: Valkey) -> None:
        """Move a shard's slot with all its keys, as an operator's resharding does."""
        slot, source = slot_of(shard), self.owner(shard)
        source_id, target_id = (self.command(node, "CLUSTER", "MYID") for node in (source, target))
        self.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        self.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := self.command(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.command(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            self.command(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)
        wait_until(lambda: self.owner(shard) is target, PATIENCE_SECONDS, f"slot {slot} does not move")

    def command(self, node: Valkey, *words: Any) -> Any:
        with redis.Redis(port=node.port, protocol=2) as client:
            return client.execute_command(*words)


def slot_of(shard: int) -> int:
    return int(key_slot(shard_tag(shard).encode()))
