"""Redis killed, stopped, emptied, unreachable, slow, restarted with old data, out of disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from billing_site.local.engines import Valkey
from tests.programs.chaos.evidence import Allowance
from tests.programs.chaos.experiment import Engine, Impossible, Lab, experiment
from tests.programs.chaos.site import Site

EMPTIED = Allowance(loses_undrained=True, overshoot_undrained=True, minutes_anew=1)
AOF_FOLDER = "appendonlydir"


def with_settings(**settings: Any) -> Engine:
    @contextlib.contextmanager
    def made(site: Site) -> Iterator[Valkey]:
        yield site.make_valkey(site.home / f"valkey-{'-'.join(map(str, settings.values()))}", **settings)

    return made


def kill_twice(lab: Lab) -> None:
    for _ in lab.times(2):
        with lab.losing_redis():
            lab.site.kill("valkey")
        lab.recover()
        lab.tend(1)


@experiment("sigkill-redis", "SIGKILL of Redis, appendfsync everysec")
def sigkill_redis(lab: Lab) -> None:
    kill_twice(lab)


@experiment("sigkill-redis-always", "SIGKILL of Redis, appendfsync always", redis=with_settings(appendfsync="always"))
def sigkill_redis_always(lab: Lab) -> None:
    kill_twice(lab)


@experiment(
    "sigkill-redis-no-aof", "SIGKILL of Redis without an append-only file", EMPTIED, redis=with_settings(durable=False)
)
def sigkill_redis_no_aof(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.kill("valkey")


@experiment("sigstop-redis", "SIGSTOP of Redis for 5 s")
def sigstop_redis(lab: Lab) -> None:
    pid = lab.site.pid("valkey")
    with lab.losing_redis():
        os.kill(pid, signal.SIGSTOP)
    lab.tend(5)
    os.kill(pid, signal.SIGCONT)


@experiment("flushall", "FLUSHALL, twice", replace(EMPTIED, minutes_anew=2))
def flushall(lab: Lab) -> None:
    for _ in range(2):
        with lab.losing_redis(), contextlib.closing(lab.site.redis()) as client:
            client.flushall()
        lab.recover()
        lab.tend(1)


@experiment("blackhole", "Redis' port swallows everything for 5 s")
def blackhole(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.proxy.blackhole()
    lab.tend(5)
    lab.site.proxy.passing()


@experiment("slow-redis", "every reply of Redis 200 ms late, for 5 s")
def slow_redis(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.proxy.delay(0.2)
    lab.tend(5)
    lab.site.proxy.passing()


# The process that gets no reply goes on without Redis while the others do not.
@experiment("lost-replies", "one script in ten runs, but its reply is lost, for 6 s", Allowance(split=True))
def lost_replies(lab: Lab) -> None:
    with lab.losing_redis():
        lab.site.proxy.lose_replies(0.1)
    lab.tend(6)
    lab.site.proxy.passing()


@experiment("script-flush", "SCRIPT FLUSH ten times")
def script_flush(lab: Lab) -> None:
    with contextlib.closing(lab.site.redis()) as client:
        for _ in range(10):
            client.script_flush()
            lab.tend(0.2)


@experiment("redis-old-data", "Redis killed and restarted with the data of 4 s before", EMPTIED)
def redis_old_data(lab: Lab) -> None:
    data, copy = lab.site.valkey.home / AOF_FOLDER, lab.site.home / "old-data"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    lab.tend(4)
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    lab.site.put_back(valkey)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size. Raises Impossible where we may not mount one."""
    if os.geteuid() != 0:
        raise Impossible("mounting a small disk needs root")
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        raise Impossible(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)
        folder.rmdir()


@contextlib.contextmanager
def on_a_small_disk(site: Site) -> Iterator[Valkey]:
    with small_disk(site.home / "small-disk", 32) as disk:
        yield site.make_valkey(disk / "valkey")


@experiment("disk-full", "the append-only file's disk is full for 5 s", redis=on_a_small_disk)
def disk_full(lab: Lab) -> None:
    ballast = lab.site.valkey.home.parent / "ballast"
    with lab.losing_redis():
        fill(ballast)
    lab.tend(5)
    with contextlib.closing(lab.site.redis()) as client:
        failing = client.info("persistence")["aof_last_write_status"] != "ok"
    lab.expect(failing, "the full disk has not kept Redis from writing; nothing was tested")
    ballast.unlink()


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass
