"""A Redis Cluster: a map of who serves which slot, and each primary a server of its own with a thread's connections.

redis-py's cluster client asks every node for the map in the request path, node by node, each with its own time-out and
retries. Here a lost node costs a call its time budget and no more, and a command goes out once: only replies that say
that nothing was run (MOVED, ASK, TRYAGAIN) are followed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError, ResponseError, TryAgainError
from redis.retry import Retry

from ratelimit import process_state
from ratelimit.keys import shard_tag
from ratelimit.servers.cluster_node import Address, Node
from ratelimit.servers.replicas import Replicas
from ratelimit.servers.single import Command, RedisUnreachable, Store
from ratelimit.servers.wire import Argument

TRY_AGAIN_SECONDS = 0.005


class Cluster(Store):
    """`epoch` grows whenever a slot of ours gets another server, for all accounts at once.

    One number, because a failover is rare and publishing an account again is one small query at its next call, while an
    epoch a shard would have to be looked up for every call.
    """

    def __init__(self, url: str, timeout_seconds: float, replicas: Replicas | None = None) -> None:
        self.url = url
        self.timeout_seconds = timeout_seconds
        self.replicas = replicas
        tags = [shard_tag(shard).encode() for shard in range(settings.RATELIMIT_SHARDS)]
        self._slots = {tag: int(key_slot(tag)) for tag in tags}
        self._pool = redis.ConnectionPool.from_url(url, protocol=2, driver_info=None)
        options = self._pool.connection_kwargs
        self._named: Address = (options.get("host", "localhost"), options.get("port", 6379))
        self._addresses = [self._named]
        self._nodes: dict[Address, Node] = {}
        self._owners: dict[bytes, Node] = {}
        self._in_doubt = True  # whether the map of owners should be asked for before it is used again
        self._suspect: Address | None = None
        self._lock = process_state.remember(self, "_lock", threading.Lock)
        self._learning = process_state.remember(self, "_learning", threading.Lock)

    def grow(self) -> None:
        with self._lock:
            self.epoch += 1

    def run(self, command: Command, *, epoch: int | None = None) -> Any:
        key = command.keys[0]
        tag = key[: key.index(b"}") + 1]
        node = self._owner(tag)
        try:
            return node.run(command, epoch=epoch)
        except (AskError, TryAgainError) as redirection:  # a MovedError is an AskError
            return self._follow(
                tag, redirection, lambda node: node.run(command, epoch=epoch), command.by_source(), epoch
            )
        except RedisUnreachable:
            self._doubt(node)
            raise

    def ask(self, key: bytes, *words: Argument) -> Any:
        tag = key[: key.index(b"}") + 1]
        node = self._owner(tag)
        try:
            return node.ask(key, *words)
        except (AskError, TryAgainError) as redirection:
            return self._follow(tag, redirection, lambda node: node.ask(key, *words), words)
        except RedisUnreachable:
            self._doubt(node)
            raise

    def ping(self) -> None:
        """Whether every shard is served. The map is asked for anew: after a failover another node serves a shard."""
        self._in_doubt = True
        self._learn()
        if unserved := self._slots.keys() - self._owners:
            raise RedisUnreachable(f"no node of the cluster serves {min(unserved).decode()}")
        for node in set(self._owners.values()):
            try:
                node.ping()
            except RedisUnreachable:
                self._doubt(node)
                raise

    def _follow(
        self,
        tag: bytes,
        redirection: ResponseError,
        ask: Callable[[Node], Any],
        words: Sequence[Argument],
        epoch: int | None = None,
    ) -> Any:
        """Go where a node that has run nothing sends us, for as long as a call may wait.

        `words` are all of what `ask` asks for, in one command.
        """
        give_up_at = time.monotonic() + self.timeout_seconds
        while time.monotonic() < give_up_at:
            try:
                if isinstance(redirection, MovedError):
                    return ask(self._moved(tag, redirection))
                if isinstance(redirection, AskError):
                    return self._node((redirection.host, redirection.port)).run_moving(words, epoch)
                time.sleep(TRY_AGAIN_SECONDS)
                return ask(self._owner(tag))
            except (AskError, TryAgainError) as another:
                redirection = another
        raise RedisUnreachable(f"the cluster is moving the keys of {tag.decode()}: {redirection}") from redirection

    def _owner(self, tag: bytes) -> Node:
        if self._in_doubt:
            self._learn()
        try:
            return self._owners[tag]
        except KeyError:
            self._in_doubt = True
            raise RedisUnreachable(f"no node of the cluster serves {tag.decode()}") from None

    def _node(self, address: Address) -> Node:
        with self._lock:
            if address not in self._nodes:
                self._nodes[address] = Node(self, address)
            return self._nodes[address]

    def _moved(self, tag: bytes, redirection: MovedError) -> Node:
        """Believe the node that says who serves a slot; the whole map is asked for before the next call."""
        host = redirection.host or self._owners[tag].address[0]  # without a name: where the answer came from
        node = self._node((host, redirection.port))
        self._assign({tag: node})
        self._in_doubt = True
        return node

    def _assign(self, owners: dict[bytes, Node]) -> None:
        with self._lock:
            if any(self._owners.get(tag, node) is not node for tag, node in owners.items()):
                self.epoch += 1  # before the map: who finds the new owner must find the new epoch
            self._owners = self._owners | owners

    def _doubt(self, node: Node) -> None:
        self._suspect, self._in_doubt = node.address, True

    def _learn(self) -> None:
        """Ask node after node for the map, for as long as a call may wait; one thread, the others use what there is.

        Raises RedisUnreachable when there is no map yet.
        """
        if not self._learning.acquire(timeout=0 if self._owners else self.timeout_seconds):
            return
        try:
            if not self._in_doubt:
                return
            self._in_doubt = False  # from here on another thread may come to doubt it again
            give_up_at, reason = time.monotonic() + self.timeout_seconds / 2, "no time was left"
            for address in sorted(self._addresses, key=lambda address: address == self._suspect):
                if time.monotonic() > give_up_at:
                    break
                # The next time somebody else is asked first: this one may be cut off from the others.
                self._addresses = [*(other for other in self._addresses if other != address), address]
                try:
                    self._adopt(self._ask_for_map(address), address)
                except (RedisError, OSError) as error:
                    reason = str(error)
                    continue
                return
            self._in_doubt = True
            if not self._owners:
                raise RedisUnreachable(f"no node of the cluster answers: {reason}")
        finally:
            self._learning.release()

    def _ask_for_map(self, address: Address) -> list[Any]:
        half = self.timeout_seconds / 2
        own = {"host": address[0], "port": address[1], "socket_timeout": half, "socket_connect_timeout": half}
        options = self._pool.connection_kwargs | own | {"retry": Retry(NoBackoff(), 0)}
        connection = cast(redis.Connection, self._pool.connection_class(**options))
        try:
            connection.connect()
            connection.send_command("CLUSTER", "SLOTS", check_health=False)
            return cast(list[Any], connection.read_response())
        finally:
            connection.disconnect()

    def _adopt(self, ranges: list[Any], asked: Address) -> None:
        """Take over a map: ranges of slots, each with its primary and its replicas."""

        def address_of(node: list[Any]) -> Address:
            host = cast(bytes | None, node[0])
            return (host.decode() if host else asked[0], int(node[1]))  # without a name: where the answer came from

        owners: dict[bytes, Node] = {}
        for first, last, primary, *_ in ranges:
            for tag, slot in self._slots.items():
                if first <= slot <= last:
                    owners[tag] = self._node(address_of(primary))
        self._assign(owners)
        everybody = {address_of(node) for _, _, *nodes in ranges for node in nodes}
        everybody.add(self._named)  # a name leads to the cluster also when all its addresses have changed
        kept = [address for address in self._addresses if address in everybody]
        self._addresses = kept + sorted(everybody.difference(kept))
        with self._lock:
            self._nodes = {node.address: node for node in self._owners.values()}
