"""One primary of a Redis Cluster: a server with the cluster's epoch, which has to say now and then who it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import AskError, RedisError, TryAgainError

from ratelimit.servers.single import CANNOT_SERVE, Command, RedisUnreachable, ServerChanged, SingleServer
from ratelimit.servers.wire import Argument, pack

if TYPE_CHECKING:
    from ratelimit.servers.cluster import Cluster

Address = tuple[str, int]
TRUSTED_SECONDS = 1.0
"""A node that this process has not heard from for longer says again who it is: it may have been a replica meanwhile,
and holds what another primary gave it. Shorter than any time in which a cluster replaces a node twice."""


class Node(SingleServer):
    """One primary. Its epoch is the cluster's."""

    cannot_serve = CANNOT_SERVE

    def __init__(self, cluster: Cluster, address: Address) -> None:
        self._cluster = cluster
        self.address = address
        self.heard_at = 0.0
        super().__init__(cluster.url, cluster.timeout_seconds, cluster.replicas)
        self._pool.connection_kwargs |= {"host": address[0], "port": address[1]}

    @property
    def epoch(self) -> int:  # type: ignore[override]
        return self._cluster.epoch

    def _changed(self) -> None:
        self._cluster.grow()

    def run(self, command: Command, *, epoch: int | None = None) -> Any:
        if time.monotonic() - self.heard_at > TRUSTED_SECONDS:
            self._hang_up()
        answer = super().run(command, epoch=epoch)
        self.heard_at = time.monotonic()
        return answer

    def run_moving(self, words: Sequence[Argument], epoch: int | None) -> Any:
        """Run what lies in a slot that is being moved to this node. One try: a second would need another ASKING."""
        wire = self._wire()
        if epoch is not None and epoch != self.epoch:
            raise ServerChanged
        try:
            replies = wire.ask_two(pack(b"ASKING"), pack(*words))
        except (RedisError, OSError) as error:
            self._hang_up()
            raise RedisUnreachable(str(error)) from error
        for reply in replies:
            if isinstance(reply, AskError | TryAgainError):
                raise reply
            if isinstance(reply, BaseException):
                self._hang_up()
                raise RedisUnreachable(str(reply)) from reply
        return replies[1]

    def ping(self) -> None:
        """Raises RedisUnreachable also while the node answers and the cluster is down."""
        wire = self._wire()
        try:
            facts = cast(bytes, wire.ask(b"CLUSTER", b"INFO"))
        except (RedisError, OSError) as error:
            self._hang_up()
            raise RedisUnreachable(str(error)) from error
        if b"cluster_state:ok" not in facts:
            raise RedisUnreachable(f"the cluster is down, says {self.address[0]}:{self.address[1]}")
