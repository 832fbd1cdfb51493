"""Reported events over real HTTP: what docs/events.md shows, many senders at once, and workers that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from tests.cast import Customer
from tests.journeys.server import Server, forget_catalogues, running
from tests.usage.histories import sums
from tests.usage.metering.reservations.held import nothing_drifts
from usage.models import ReceivedEvent, UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (Path(settings.BASE_DIR) / "docs" / "events.md").read_text()


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def shell(script: str, server: Server, key: str, account: int) -> Any:
    time = timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    given = {"SITE": server.url, "METER_KEY": key, "ACCOUNT": str(account), "TIME": time}
    done = subprocess.run(
        ["sh", "-c", script], env=os.environ | given, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def documented_send(server: Server, key: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """`send` of the page, with a session of its own."""
    monkeypatch.setenv("SITE", server.url)
    monkeypatch.setenv("METER_KEY", key)
    given: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "docs/events.md", "exec"), given)
    given["session"].trust_env = False
    send: Callable[[Any], Any] = given["send"]
    return send


def event(name: str, account: int) -> dict[str, Any]:
    return {"id": name, "feature": "trace_start", "account": account, "time": timezone.now().isoformat()}


def test_what_the_page_shows(server: Server, dave: Customer, erin: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, cloud = blocks("sh")
    assert shell(plain, server, dave.key, erin.account) == json.loads(blocks("json")[0])
    assert shell(plain, server, dave.key, erin.account)["duplicates"] == 2
    assert shell(cloud, server, dave.key, erin.account)["accepted"] == 1
    send = documented_send(server, dave.key, monkeypatch)
    assert send([event("job-81-step-1", erin.account), event("another", erin.account)])["accepted"] == 1
    assert sums(erin.account) == {32}


def test_in_chunks(server: Server, dave: Customer) -> None:
    body = json.dumps({"events": [event(str(n), dave.account) for n in range(100)]}).encode()
    with server.session(dave.key) as session:
        chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))
        headers = {"Content-Type": "application/json"}
        answer = session.post(f"{server.url}/api/v1/usage/events", data=chunks, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["accepted"]) == (200, 100)
        large = (b"x" * 65_536 for _ in range(20))
        answer = session.post(f"{server.url}/api/v1/usage/events", data=large, headers=headers, timeout=30)
        assert answer.status_code == 413


def test_the_same_batches_from_many_senders(
    server: Server, dave: Customer, erin: Customer, carol: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two worker processes."""
    batches = [[event(f"{n}-{m}", (erin, carol)[m % 2].account) for m in range(50)] for n in range(6)]
    sends = [documented_send(server, dave.key, monkeypatch) for _ in range(8)]

    def sender(number: int) -> int:
        order = batches[number % 6 :] + batches[: number % 6]
        return sum(sends[number](batch[:: -1 if number % 2 else 1])["accepted"] for batch in order)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(sender, range(8))) == 300
    assert (sums(erin.account), sums(carol.account)) == ({1500}, {1500})
    with server.session(erin.key) as session:
        assert session.get(f"{server.url}/api/v1/usage/current", timeout=30).json()["tokens_used"] == 1500
    assert nothing_drifts()


@pytest.mark.no_cover
def test_workers_are_killed_while_it_is_sent(
    catalogue: None, dave: Customer, erin: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(str(connection.settings_dict["NAME"])) as server:
        forget_catalogues()
        sends = [documented_send(server, dave.key, monkeypatch) for _ in range(4)]
        killed, over = 0, threading.Event()

        def sender(number: int) -> int:
            answers = [sends[number]([event(f"{number}-{n}-{m}", erin.account) for m in range(40)]) for n in range(10)]
            assert all(each["accepted"] + each["duplicates"] == 40 for each in answers)
            return len(answers) * 40

        def killer() -> None:
            nonlocal killed
            while not over.is_set():
                for worker in server.workers()[:1]:
                    os.kill(worker, signal.SIGKILL)
                    killed += 1
                before = UsageLog.objects.count()
                while UsageLog.objects.count() < before + 120 and not over.wait(0.05):
                    pass
            connection.close()

        with ThreadPoolExecutor(5) as threads:
            killing = threads.submit(killer)
            try:
                sent = sum(threads.map(sender, range(4)))
            finally:
                over.set()
            killing.result()
    assert killed > 2
    assert sent == ReceivedEvent.objects.count() == UsageLog.objects.filter(kind="charge").count()
    assert sums(erin.account) == {sent * 10}
