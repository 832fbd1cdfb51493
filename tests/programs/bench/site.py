"""The site as deployed: two workers of gunicorn, a drain, Celery's worker and beat; and what CPU each of them takes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import billing_site
from billing_site.local.engines.process import last_line, wait_until
from billing_site.local.run import ALONE
from billing_site.local.supervisor import Command
from tests.ports import free_port

CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
ENGINES = {"postgres": "PostgreSQL", "valkey-server": "Redis", "redis-server": "Redis"}
TICKS = os.sysconf("SC_CLK_TCK")


class Site(NamedTuple):
    """Where it is served, and its commands by what they are in a table."""

    url: str
    commands: Mapping[str, list[Command]]

    def cpu_seconds(self) -> Counter[str]:
        """What each kind of process has taken since it began, those that it started included."""
        taken: Counter[str] = Counter()
        stats = _stats()
        kinds = {
            command.process.pid: kind for kind, each in self.commands.items() for command in each if command.process
        }
        for pid in stats:
            if kind := _kind(pid, stats, kinds):
                taken[kind] += stats[pid].seconds
        return taken


class _Stat(NamedTuple):
    name: str
    parent: int
    seconds: float
    """Its own, and of those children that have ended."""


def _stats() -> dict[int, _Stat]:
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            before, _, after = (folder / "stat").read_text().rpartition(")")
        except OSError:  # it has ended
            continue
        fields = after.split()
        name = before.partition("(")[2]
        found[int(folder.name)] = _Stat(name, int(fields[1]), sum(map(int, fields[11:15])) / TICKS)
    return found


def _kind(pid: int, stats: Mapping[int, _Stat], kinds: Mapping[int, str]) -> str:
    """By its nearest ancestor that is a command or an engine of this process; empty: it is none of ours."""
    while pid in stats and pid != os.getpid():
        parent = stats[pid].parent
        kind = kinds.get(pid) or (ENGINES.get(stats[pid].name) if parent == os.getpid() else None)
        if kind:
            return kind
        pid = parent
    return ""


@contextmanager
def served(*, beside: bool = True) -> Iterator[Site]:
    """The site while it runs; `beside`: with the drain and Celery beside the web server."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        python, logs = sys.executable, Path(folder)
        # A caller's own arguments or number of workers would be measured instead.
        env = {
            name: value for name, value in os.environ.items() if name not in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY")
        }
        env |= {"PROMETHEUS_MULTIPROC_DIR": folder, "LOG_LEVEL": "WARNING"}
        celery, quiet = [python, "-m", "celery", "-A", "billing_site"], ["--loglevel", "WARNING"]
        web = [python, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", "--bind", address]
        lines = {"web": [[*web, "--workers", "2"]]}
        if beside:
            lines["drain"] = [[python, "manage.py", "drain_usage", "--follow"]]
            lines["Celery"] = [
                [*celery, "worker", *quiet, "--pool", "threads", "--concurrency", "2", *ALONE],
                [*celery, "beat", *quiet, "--schedule", str(logs / "schedule"), "--pidfile", ""],
            ]
        commands = {
            kind: [
                Command(kind, argv, log=logs / f"{kind}-{at}.log", env=env, cwd=CHECKOUT)
                for at, argv in enumerate(each)
            ]
            for kind, each in lines.items()
        }
        started = [command for each in commands.values() for command in each]
        try:
            for command in started:
                command.start()
            wait_until(lambda: _answers(address), 60, f"the site does not come up: {last_line(started[0].log)}")
            yield Site(f"http://{address}", commands)
        finally:
            for command in started:
                command.stop()


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    connection = HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status in (200, 503)  # 503: beat has not been seen yet
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
