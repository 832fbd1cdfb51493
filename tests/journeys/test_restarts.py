"""Reload (SIGHUP) and stop (SIGTERM) under load: no request fails, no answer is cut off.

Clients do as HTTP clients do: a kept connection that was closed before any byte of an answer is opened anew.
"""

from __future__ import annotations

import http.client
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import connection

from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.journeys.server import Server, forget_catalogues, running
from tests.slow_clients import SlowClients

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = 6
PATHS = ("/api/v1/trace/start", "/api/v1/risk/score?sleep_ms=40")


@dataclass
class Load:
    """Clients that call without a pause until nobody listens any more."""

    server: Server
    key: str
    outcomes: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._call_on, args=[number % 2 == 0]) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()

    def answered(self) -> int:
        return self.outcomes["200"]

    def _call_on(self, keeps: bool) -> None:
        client: http.client.HTTPConnection | None = None
        number = 0
        while not self.stopping.is_set():
            number += 1
            fresh = client is None
            client = client or http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            outcome = self._call(client, PATHS[number % 2])
            if outcome == "refused":
                return
            if outcome != "unanswered" or fresh:
                self.outcomes[outcome] += 1
            if outcome != "200" or not keeps or client.sock is None:
                client.close()
                client = None

    def _call(self, client: http.client.HTTPConnection, path: str) -> str:
        try:
            client.request("GET", path, headers={"Host": "localhost", "Authorization": f"Bearer {self.key}"})
            response = client.getresponse()
        except ConnectionRefusedError:
            return "refused"
        except OSError:  # RemoteDisconnected is one: closed before the first byte of an answer
            return "unanswered"
        except http.client.HTTPException as error:
            return repr(error)
        try:
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"cut off: {error!r}"
        return str(response.status)


def test_reload_and_stop_fail_no_request(erin: Customer) -> None:
    forget_catalogues()
    database = connection.settings_dict["NAME"]
    with running(database, "--graceful-timeout", "20") as server:
        load = Load(server, erin.key)
        slow = SlowClients(("127.0.0.1", server.port), 10, ["silence", "a header line"])
        with load.running():
            wait_until(lambda: load.answered() > 20, 60, "nothing is answered")
            old = {*server.workers()}
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len({*server.workers()} - old) == 2 and not old & {*server.workers()}, 60, "no reload")
            reloaded = load.answered()
            wait_until(lambda: load.answered() > reloaded + 20, 60, "nothing is answered after the reload")
            assert set(load.outcomes) == {"200"}
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0
        slow.close()
    resets = load.outcomes.pop("unanswered", 0)  # connected in the very moment in which the last listener closed
    assert set(load.outcomes) == {"200"} and resets <= CLIENTS
