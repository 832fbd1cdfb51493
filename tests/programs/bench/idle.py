"""What `make run` costs while nobody calls: CPU of every process, and of those that it started and that ended, by the
kernel's count, over three minutes. Beside it a process does nothing but wake each second: nearly all that an idle site
costs is waking up, and what that costs is the machine's. Then calls at any moment, one after the other: how long after
its answer each one is in PostgreSQL, the longest of all.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import requests
from psycopg import sql

import billing_site
from billing_site.local.engines.places import Places, postgres_url
from billing_site.local.engines.process import end, last_line, spawn, wait_until
from billing_site.local.supervisor import Command
from tests.ports import free_port
from tests.programs.bench import Row
from tests.programs.bench.stage import say
from usage.models import UsageLog

TITLE = "Idle"
CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
UP_SECONDS = 120
MOST_PERCENT, MOST_SECONDS = 1.0, 2.0
NOT_OF_A_RUN = ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
KINDS = {
    "gunicorn": "web server",
    " worker ": "Celery's worker",
    " beat ": "Celery's beat",
    "drain_usage": "drain",
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "redis-server": "Valkey",
}
SUPERVISOR = "make run itself"
WAKES = "import time\nwhile True: time.sleep(1)"


def run(*, quick: bool) -> list[Row]:
    settle, seconds, calls = (10, 10, 5) if quick else (30, 180, 40)
    with _site() as (process, url, key):
        waking = spawn([sys.executable, "-c", WAKES], log=Path(os.devnull))
        time.sleep(settle)
        say(f"{seconds} s without a call")
        before, of_wakes, began = _ticks(process), _of_one(waking.pid), time.monotonic()
        time.sleep(seconds)
        after, of_wakes, took = _ticks(process), _of_one(waking.pid) - of_wakes, time.monotonic() - began
        end(waking, [(signal.SIGTERM, 3)])
        say(f"{calls} calls")
        slowest = max(_until_stored(url, key) for _ in range(calls))
    percent = {kind: _percent(ticks - before[kind], took) for kind, ticks in after.items()}
    total, bare = sum(percent.values()), _percent(of_wakes, took)
    unit = "% of a core"
    wakes = f"as {total / bare:.0f} of that process" if bare else ""
    return [
        Row("a process that does nothing but wake each second", bare, unit),
        *(Row(kind, value, unit) for kind, value in sorted(percent.items(), key=lambda item: -item[1])),
        Row("**all**", total, unit, f"≤ {MOST_PERCENT:g} %", None, total <= MOST_PERCENT, wakes),
        Row("a call, until it is in PostgreSQL", slowest, "s", f"≤ {MOST_SECONDS:g} s", None, slowest <= MOST_SECONDS),
    ]


@contextmanager
def _site() -> Iterator[tuple[int, str, str]]:
    """A run with a folder of its own: its process, its URL, and a customer's key."""
    folder = Path(tempfile.mkdtemp(prefix="idle-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    os.environ["LOCAL_DIR"] = str(folder / "local")
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in NOT_OF_A_RUN} | {"PORT": str(port)}
    log = folder / "log"
    argv = [sys.executable, "-m", "billing_site.local.run"]
    site = Command("site", argv, log=log, env=env, cwd=CHECKOUT, patience_seconds=60)
    site.start()
    try:
        wait_until(lambda: "Ctrl-C ends it." in log.read_text(), UP_SECONDS, f"it does not come up: {last_line(log)}")
        wait_until(lambda: "logs:" in log.read_text(), UP_SECONDS, "it does not say all")
        *_, key = re.findall(r"^  \w+ +\w+ +(\S+)$", log.read_text(), re.MULTILINE)  # of the dearest plan
        assert site.process
        yield site.process.pid, f"http://127.0.0.1:{port}", key
    finally:
        site.stop()
        postgres = folder / "local" / "postgres"
        if postgres.is_symlink():
            shutil.rmtree(postgres.readlink(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _ticks(root: int) -> Counter[str]:
    """By kind, the clock ticks of all processes below a run and of their children that have ended."""
    listing = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listing.splitlines()]
    children: dict[int, list[tuple[int, str]]] = {}
    for pid, parent, argv in lines:
        children.setdefault(int(parent), []).append((int(pid), argv))
    found = Counter({SUPERVISOR: _of_one(root, with_children=False)})
    for child, argv in children.get(root, []):
        kind = next((kind for word, kind in KINDS.items() if word in argv), "others")
        below = [child]
        for process in below:  # grows while it is walked
            below += [pid for pid, _ in children.get(process, [])]
        found[kind] += sum(map(_of_one, below))
    return found


def _of_one(process: int, *, with_children: bool = True) -> int:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0
    return sum(map(int, fields[11 : 15 if with_children else 13]))


def _percent(ticks: int, seconds: float) -> float:
    return 100 * ticks / os.sysconf("SC_CLK_TCK") / seconds


def _until_stored(url: str, key: str) -> float:
    """Seconds from the answer to a call until its row can be read."""
    time.sleep(random.uniform(0.5, 3))  # at any moment of the drain's
    headers = {"Authorization": f"Bearer {key}"}
    answer = requests.post(f"{url}/api/v1/trace/start", json={}, headers=headers, timeout=30)
    answer.raise_for_status()
    answered_at = time.monotonic()
    row = sql.SQL("SELECT FROM {} WHERE id = %s").format(sql.Identifier(UsageLog._meta.db_table))
    with psycopg.connect(postgres_url(Places(CHECKOUT).postgres_sockets), autocommit=True) as connection:
        while connection.execute(row, [answer.headers["X-Usage-Event"]]).fetchone() is None:
            if time.monotonic() > answered_at + 60:
                raise RuntimeError(f"the call is not in PostgreSQL after a minute: {url}")
            time.sleep(0.01)
    return time.monotonic() - answered_at
