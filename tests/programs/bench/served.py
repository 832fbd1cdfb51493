"""Gunicorn with two workers as deployed, loaded by wrk over 16 connections: the sandbox's view outside of the metered
paths and at one, in turn. Metered means key, both limits, charge and audit event. All share the machine's cores. The
ratio is the median of each round's own, since the machine's pace changes from one round to the next.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from typing import NamedTuple

import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

import billing_site
from billing.models import ApiKey, Plan
from billing.subscriptions import opening
from billing_site.local.engines.process import last_line, wait_until
from billing_site.local.supervisor import Command
from ratelimit.keys import AccountKeys
from tests.ports import free_port
from tests.programs.bench import Row, Skipped, at_least
from tests.programs.bench.stage import say

TITLE = "Served"
CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
PATHS = {"unmetered": "/unmetered", "metered": "/api/v1/trace/start"}


class Load(NamedTuple):
    """What wrk saw in one round."""

    per_second: float
    p50_ms: float
    p99_ms: float


def run(*, quick: bool) -> list[Row]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise Skipped("wrk is not on PATH (Debian's package wrk); a load generator in Python would measure itself")
    rounds, seconds = (3, 2) if quick else (30, 2)
    user = get_user_model().objects.create_user("alice")
    Plan.objects.filter(code="starter").update(monthly_token_quota=10**12, requests_per_minute=1_000_000)
    opening.subscribe(user.pk, Plan.objects.get(code="starter"), timezone.now())
    key = ApiKey.issue(account=user, name="bench", scope="")[1]
    keys, engine = AccountKeys(user.pk), redis.Redis.from_url(settings.REDIS_URL)
    found: dict[str, list[Load]] = {name: [] for name in PATHS}
    with _gunicorn() as url:
        for path in PATHS.values():
            _load(wrk, f"{url}{path}", key, 2)
        for at in range(rounds):
            say(f"round {at + 1} of {rounds}")
            for name in sorted(PATHS, reverse=at % 2 == 0):
                engine.delete(keys.ring, keys.ring_body, keys.stream)  # nothing drains here
                found[name].append(_load(wrk, f"{url}{PATHS[name]}", key, seconds))
    return _rows(found)


def _rows(found: dict[str, list[Load]]) -> list[Row]:
    unmetered = median(load.per_second for load in found["unmetered"])
    rounds = zip(found["metered"], found["unmetered"], strict=True)
    ratio = median(metered.per_second / bare.per_second for metered, bare in rounds)
    spread = {name: _spread([load.per_second for load in loads]) for name, loads in found.items()}
    rows = [
        Row("unmetered", unmetered, "requests/s", note=spread["unmetered"]),
        at_least(
            "metered",
            ratio * unmetered,
            "requests/s",
            times=0.7,
            of=unmetered,
            what="unmetered",
            note=spread["metered"],
        ),
    ]
    for name, loads in found.items():
        rows.append(Row(f"{name}, p50", median(load.p50_ms for load in loads), "ms"))
        rows.append(Row(f"{name}, p99", median(load.p99_ms for load in loads), "ms"))
    return rows


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):,.0f} to {max(values):,.0f}"


def _load(wrk: str, url: str, key: str, seconds: int) -> Load:
    argv = [wrk, "-t1", "-c16", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {key}", url]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if re.search("Non-2xx|Socket errors", told):
        raise RuntimeError(f"not every answer was a success:\n{told}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if rate is None:
        raise RuntimeError(f"wrk said nothing of a rate:\n{told}")
    return Load(float(rate[1]), _percentile(told, 50), _percentile(told, 99))


def _percentile(told: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", told, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk said nothing of the {percent}th percentile:\n{told}")
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]


@contextmanager
def _gunicorn() -> Iterator[str]:
    """Its address while it runs."""
    url = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gunicorn.log"
        argv = [sys.executable, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", "--bind", url]
        # A caller's own arguments or number of workers would be measured instead.
        env = {
            name: value for name, value in os.environ.items() if name not in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY")
        }
        env |= {"PROMETHEUS_MULTIPROC_DIR": folder, "LOG_LEVEL": "WARNING"}
        server = Command("web", [*argv, "--workers", "2"], log=log, env=env, cwd=CHECKOUT)
        server.start()
        try:
            wait_until(lambda: _answers(url), 60, f"gunicorn does not come up: {last_line(log)}")
            yield f"http://{url}"
        finally:
            server.stop()


def _answers(url: str) -> bool:
    host, _, port = url.partition(":")
    connection = HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
