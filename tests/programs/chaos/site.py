"""The site under test: engines of its own, and every process of `make run`, supervised in the same way."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis

import billing_site
from billing_site.local.engines import Postgres, Valkey
from billing_site.local.engines.places import sockets_root
from billing_site.local.supervisor import Command, Supervisor
from tests.ports import free_port
from tests.programs.chaos.load import LONGEST_REQUEST_SECONDS
from tests.programs.chaos.proxy import Proxy

CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
UP_SECONDS = 90.0
SHARDS = 64
SLOW_CLIENT_SECONDS = 8
"""The site's setting, shorter than it is by default."""
OURS = ("DATABASE_URL", "REDIS_", "CACHE_URL", "BROKER_URL", "RATELIMIT_", "WHEN_REDIS_IS_DOWN", "WEB_", "GUNICORN_")
"""Settings of the caller's shell that are meant for another server."""


class Site:
    """Everything that runs; `tend` and its like keep it running while they wait, so all waiting goes through them."""

    def __init__(self, logs: Path, seed: int, database_url: str = "", *, celery: bool = True) -> None:
        self.logs = logs
        self.home = Path(tempfile.mkdtemp(prefix=f"pbc-{os.geteuid()}-", dir=sockets_root()))
        self.home.chmod(0o711)  # as root, PostgreSQL runs as somebody who has to pass
        self.said = (logs / "supervisor.log").open("a", buffering=1)
        self.supervisor = Supervisor(lambda text: print(text, file=self.said), delays_seconds=[0.5] * 1000)
        self.port = free_port()
        self.valkey_socket = self.home / "s" / "valkey.sock"
        self.valkey = self.make_valkey()
        self.postgres = None if database_url else self._make_postgres()
        self.database_url = database_url or (self.postgres.url if self.postgres else "")
        self.proxy = Proxy(self.valkey_socket, free_port(), seed, logs / "proxy.log")
        self.celery = celery
        self.commands: dict[str, Command] = {}

    def start(self) -> None:
        """Start it all on a migrated and seeded database, and return when it is healthy. Raises EngineError."""
        if self.postgres is not None:
            self.supervisor.start(self.postgres)
        self.supervisor.start(self.valkey)
        self._enter()
        for name, argv in self._argvs().items():
            command = Command(name, argv, log=self.logs / f"{name}.log", env=os.environ, cwd=CHECKOUT)
            self.commands[name] = command
            self.supervisor.start(command)
        self.until(self.is_healthy, UP_SECONDS, "the site does not come up")

    def stop(self) -> None:
        """End everything, whatever state it is in, and remove what it stored; the logs stay."""
        self.resume()
        self.proxy.close()
        self.supervisor.stop(first=["web"])
        shutil.rmtree(self.home, ignore_errors=True)
        self.said.close()

    def make_valkey(self, home: Path | None = None, **settings: Any) -> Valkey:
        return Valkey(home or self.home / "valkey", self.valkey_socket, log=self.logs / "valkey.log", **settings)

    def _make_postgres(self) -> Postgres:
        return Postgres(self.home / "postgres", self.home / "s" / "pg", log=self.logs / "postgres.log")

    def _enter(self) -> None:
        """Make this process, and those it starts, part of the site; prepare the database."""
        for name in [name for name in os.environ if name.startswith(OURS)]:
            del os.environ[name]
        metrics = self.home / "metrics"
        metrics.mkdir()
        os.environ |= {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.proxy.url,
            "SECRET_KEY": "chaos",
            "SANDBOX": "1",
            "LONGEST_REQUEST_SECONDS": str(LONGEST_REQUEST_SECONDS),
            "WEB_SLOW_CLIENT_SECONDS": str(SLOW_CLIENT_SECONDS),
            "DJANGO_SETTINGS_MODULE": "billing_site.settings",
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "PYTHONUNBUFFERED": "1",
        }
        import django
        from django.db import connections

        django.setup()
        from billing_site.local import preparation

        preparation.prepare_database()
        connections.close_all()

    def _argvs(self) -> dict[str, list[str]]:
        python = sys.executable
        bind = ["--bind", f"127.0.0.1:{self.port}", "--workers", "2", "--graceful-timeout", "3"]
        argvs = {
            "web": [python, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", *bind],
            "drain": [python, "manage.py", "drain_usage", "--follow"],
        }
        if self.celery:
            celery, quiet = [python, "-m", "celery", "-A", "billing_site"], ["--loglevel", "INFO"]
            schedule = ["--schedule", str(self.home / "beat-schedule"), "--pidfile", ""]
            threads = ["--pool", "threads", "--concurrency", "2", "--without-mingle"]
            argvs |= {"worker": [*celery, "worker", *quiet, *threads], "beat": [*celery, "beat", *quiet, *schedule]}
        return argvs

    # Waiting

    def tend(self, seconds: float) -> None:
        """Let the site run so long."""
        self.supervisor.tend_until(lambda: False, seconds)

    def until(self, holds: Callable[[], bool], seconds: float, otherwise: str) -> float:
        """Wait until `holds()` and return how long that took. Raises TimeoutError(otherwise)."""
        began = time.monotonic()
        if not self.supervisor.tend_until(holds, seconds):
            raise TimeoutError(f"{otherwise} ({seconds:.0f} s)")
        return time.monotonic() - began

    # Looking at it

    def is_healthy(self) -> bool:
        """Whether /health says ok, asked often enough to meet both workers."""
        return all(self.health() == (200, "ok") for _ in range(6))

    def all_run(self) -> bool:
        """Whether no process is dead at the moment."""
        processes = [service.process for service in self.supervisor.services]
        return all(process is not None and process.poll() is None for process in processes)

    def health(self) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            return response.status, str(json.loads(response.read())["status"])
        except (OSError, http.client.HTTPException, ValueError):
            return 0, "no answer"
        finally:
            connection.close()

    def redis(self) -> redis.Redis:
        """A client that goes to the server itself, not through the proxy."""
        return redis.Redis.from_url(self.valkey.url, socket_timeout=5, socket_connect_timeout=2)

    def backlog(self) -> int:
        """Audit events that no drain has acknowledged; -1 when Redis does not answer."""
        with contextlib.closing(self.redis()) as client:
            pipeline = client.pipeline(transaction=False)
            for shard in range(SHARDS):
                pipeline.xlen(f"{{s{shard:02d}}}:events")
            try:
                return sum(pipeline.execute())
            except redis.RedisError:
                return -1

    def drained_up_to(self) -> float:
        """No charge from before this instant (in Unix seconds) waits for the drain; 0 when Redis does not answer."""
        with contextlib.closing(self.redis()) as client:
            pipeline = client.pipeline(transaction=False)
            for shard in range(SHARDS):
                pipeline.xrange(f"{{s{shard:02d}}}:events", count=1)
            try:
                oldest = [entries[0][0] for entries in pipeline.execute() if entries]
            except redis.RedisError:
                return 0.0
        return min((int(entry.partition(b"-")[0]) / 1000 for entry in oldest), default=time.time())

    @contextlib.contextmanager
    def sql(self) -> Any:
        connection = psycopg.connect(self.database_url, autocommit=True, connect_timeout=5)
        try:
            yield connection
        finally:
            connection.close()

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value of the only row; None where there is no row."""
        with self.sql() as connection:
            row = connection.execute(query, parameters).fetchone()
        return row[0] if row else None

    # Doing it harm

    def pid(self, name: str) -> int:
        process = next(service.process for service in self.supervisor.services if service.name == name)
        assert process is not None, f"{name} does not run"
        return process.pid

    def web_workers(self) -> list[int]:
        master = self.pid("web")
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    def kill(self, name: str) -> None:
        """SIGKILL one process; the supervisor starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def take_out(self, name: str) -> Any:
        """SIGKILL a service, and keep it down until it is put back."""
        service = next(service for service in self.supervisor.services if service.name == name)
        self.supervisor.services.remove(service)
        assert service.process is not None
        os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait()
        return service

    def shut_down(self, name: str) -> Any:
        """End a service in good order, and keep it down until it is put back."""
        service = next(service for service in self.supervisor.services if service.name == name)
        self.supervisor.services.remove(service)
        service.stop()
        return service

    def put_back(self, service: Any) -> None:
        self.supervisor.start(service)

    def resume(self) -> None:
        """Wake what an experiment has stopped."""
        for service in self.supervisor.services:
            if service.process is not None and service.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(service.process.pid, signal.SIGCONT)

    def exchange_valkey(self, valkey: Valkey) -> None:
        """Go on with another Redis at the same address, the old one stopped in good order."""
        old = next(service for service in self.supervisor.services if service.name == "valkey")
        self.supervisor.services.remove(old)
        old.stop()
        self.valkey = valkey
        self.supervisor.start(valkey)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(f"http://127.0.0.1:{self.port}")
        return str(parts.hostname), int(parts.port or 0)
