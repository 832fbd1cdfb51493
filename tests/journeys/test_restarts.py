"""Reload, stop, restart, a killed worker, under load, direct and through nginx: no request fails but a killed worker's.

Clients do as HTTP clients do: a kept connection that was closed before any byte of an answer is opened anew.
"""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import connection

from billing_site.local.engines.process import wait_until
from billing_site.serving.connection import LINGER_SECONDS
from tests.cast import Customer
from tests.effort import long_only
from tests.journeys.nginx import needs_nginx, nginx_before
from tests.journeys.server import Server, forget_catalogues, running
from tests.slow_clients import SlowClients

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = 6
PATIENT = ("--graceful-timeout", "20")
PATHS = ("/api/v1/trace/start", "/api/v1/risk/score?sleep_ms=40")


@dataclass
class Load:
    """Clients that call without a pause until nobody listens any more."""

    fronts: list[Server]
    """Where they call, in turns: the server, or a proxy before it."""
    key: str
    outcomes: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.threads = [threading.Thread(target=self._call_on, args=[number]) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def answered(self) -> int:
        return self.outcomes["200"]

    def lost(self) -> int:
        return self.outcomes.total() - self.answered()

    def goes_on(self) -> None:
        """Wait until more is answered than when this was called."""
        before = self.answered()
        wait_until(lambda: self.answered() > before + 20, 60, "nothing is answered")

    def _call_on(self, mine: int) -> None:
        client: http.client.HTTPConnection | None = None
        keeps, port = mine % 2 == 0, self.fronts[mine // 2 % len(self.fronts)].port
        number = 0
        while not self.stopping.is_set():
            number += 1
            fresh = client is None
            client = client or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
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


def reload(server: Server) -> None:
    """And wait until new workers are there, and no old one is."""
    old = {*server.workers()}
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len({*server.workers()} - old) == 2 and not old & {*server.workers()}, 60, "no reload")


def test_reload_and_stop_fail_no_request(erin: Customer) -> None:
    forget_catalogues()
    database = connection.settings_dict["NAME"]
    with running(database, "--graceful-timeout", "20") as server:
        load = Load([server], erin.key)
        slow = SlowClients(("127.0.0.1", server.port), 10, ["silence", "a header line"])
        with load.running():
            load.goes_on()
            reload(server)
            load.goes_on()
            assert set(load.outcomes) == {"200"}
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0
        slow.close()
    resets = load.outcomes.pop("unanswered", 0)  # connected in the very moment in which the last listener closed
    assert set(load.outcomes) == {"200"} and resets <= CLIENTS


def test_a_client_that_has_just_connected_is_waited_for(erin: Customer) -> None:
    """On a busy machine seconds may lie between a connection and its request, which no client sends twice."""
    forget_catalogues()
    with running(connection.settings_dict["NAME"], *PATIENT, "--workers", "1") as server:
        one = server.connect()
        server.session(erin.key).get(f"{server.url}/health", timeout=30)  # so it has been accepted before
        server.process.send_signal(signal.SIGHUP)
        assert not select.select([one], [], [], 2 * LINGER_SECONDS)[0], "it was disconnected"
        one.sendall(
            f"GET /api/v1/trace/start HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {erin.key}\r\n\r\n".encode()
        )
        assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
        one.close()


@needs_nginx
def test_reloads_through_nginx_fail_no_request(erin: Customer) -> None:
    forget_catalogues()
    with running(connection.settings_dict["NAME"], *PATIENT) as server, nginx_before(server.port) as front:
        load = Load([server, front], erin.key)
        with load.running():
            for _ in range(2):
                load.goes_on()
                reload(server)
            load.goes_on()
        assert set(load.outcomes) == {"200"}


@needs_nginx
def test_a_killed_worker_loses_the_requests_that_it_had_and_no_other(erin: Customer) -> None:
    forget_catalogues()
    with running(connection.settings_dict["NAME"], *PATIENT) as server, nginx_before(server.port) as front:
        load = Load([server, front], erin.key)
        with load.running():
            for _ in range(3):
                load.goes_on()
                lost, old = load.lost(), server.workers()
                os.kill(old[0], signal.SIGKILL)
                wait_until(lambda: old[0] not in (now := server.workers()) and len(now) == 2, 60, "no new worker")  # noqa: B023
                load.goes_on()
                settled = load.lost()
                assert settled - lost <= CLIENTS, "each client has one request at a time"
                load.goes_on()
                assert load.lost() == settled, "more failed than what the killed worker had"
        whole = {outcome for outcome in load.outcomes if not outcome.startswith("cut off")}
        assert whole <= {"200", "502", "unanswered"}


@needs_nginx
@long_only(8, "a reload and a stop")
def test_a_restart_at_a_socket_that_is_held_refuses_nobody(erin: Customer) -> None:
    """As `systemctl restart metered-web` does where metered-web.socket holds the socket."""
    forget_catalogues()
    database = connection.settings_dict["NAME"]
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as held, nginx_before(held.getsockname()[1]) as front:
        load = Load([Server(held.getsockname()[1]), front], erin.key)
        with running(database, *PATIENT, held=held) as server, load.running():
            load.goes_on()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
            with running(database, *PATIENT, held=held):
                load.goes_on()
                load.end()
    assert set(load.outcomes) == {"200"}
