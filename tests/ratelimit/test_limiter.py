"""The limiter under concurrency: threads and processes, one account, one command a decision (laws L1, L3)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings

from billing_site.local.engines import Valkey
from ratelimit.limits import Outcome
from ratelimit.servers.single import SingleServer
from tests.ratelimit.account import NOW_MS, WINDOW_STARTS_AT_MS, Account, Wants, minute, quota
from tests.ratelimit.conftest import PATIENT_SECONDS, connect

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SPEND_UNTIL_REFUSED = """
import sys
from ratelimit.limits import Outcome
from ratelimit.servers.single import SingleServer
from tests.ratelimit.account import Account, quota, Wants
url, number, window, patience = sys.argv[1:]
account = Account(SingleServer(url, float(patience)), int(number))
sys.stdin.readline()  # until all processes are ready
limit, admitted = quota(500, int(window)), 0
while account.admit(Wants(limit, 3)).outcome is Outcome.ADMITTED:
    admitted += 1
print(admitted)
"""


def spend_in_threads(account: Account, wants: Wants, threads: int, calls: int) -> int:
    """Every thread makes its calls at the same moment as the others; returns how many were admitted."""
    together = threading.Barrier(threads)

    def spend() -> int:
        together.wait()
        return sum(account.admit(wants).outcome is Outcome.ADMITTED for _ in range(calls))

    with ThreadPoolExecutor(threads) as pool:
        return sum(future.result() for future in [pool.submit(spend) for _ in range(threads)])


def test_64_threads_get_exactly_the_quota(account: Account, server: Any) -> None:
    assert spend_in_threads(account, Wants(quota(500), 3), threads=64, calls=8) == 166
    assert account.used(quota(500)) == 498
    assert server.xlen(account.keys.stream) == 166


def test_64_threads_get_exactly_the_minute(account: Account) -> None:
    assert spend_in_threads(account, Wants(minute(100), 1), threads=64, calls=4) == 100
    assert account.used(minute(100)) == 100


def test_several_processes_get_exactly_the_quota(account: Account, server: Any) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "tests"}
    arguments = [settings.REDIS_URL, str(account.number), str(WINDOW_STARTS_AT_MS), str(PATIENT_SECONDS)]
    command = [sys.executable, "-c", SPEND_UNTIL_REFUSED, *arguments]
    processes = [
        subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(int(answer) for answer in answers) == 166
    assert account.used(quota(500)) == 498
    assert server.xlen(account.keys.stream) == 166


def test_a_decision_and_a_void_are_one_command_each(private_server: Callable[..., Valkey]) -> None:
    server = private_server()
    account = Account(SingleServer(server.url, PATIENT_SECONDS)).published()
    takes = [Wants(minute(9), 1), Wants(quota(9), 3)]
    account.admit(*takes, event="first")  # loads the script
    account.void(takes[1], "first")
    bystander = connect(server)
    bystander.ping()
    with connect(server) as observer, observer.monitor() as monitor:
        account.admit(*takes, charged_at_ms=time.time_ns() // 10**6, now_ms=None, event="second")
        account.admit(Wants(minute(0), 1), *takes[1:])
        account.void(takes[1], "second")
        bystander.ping()
        seen = []
        while (command := monitor.next_command())["command"] != "PING":
            if command["client_type"] != "lua":
                seen.append(command["command"].split()[0])
    assert seen == ["EVALSHA"] * 3


def test_a_decision_with_a_stale_version_costs_one_command_and_nothing_else(account: Account, everything: Any) -> None:
    before = everything()
    account.at(2).ask(Wants(quota(9), 3), now_ms=NOW_MS)
    assert everything() == before
