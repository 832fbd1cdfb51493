"""`make run`: start everything this checkout needs on this machine, say how to use it, end it all on Ctrl-C."""

import contextlib
import http.client
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from billing_site.local import card_demo
from billing_site.local.chain_demo import HOW_TO_PAY, WATCHER, DemoChain, Missing
from billing_site.local.engines import EngineError, Places, Postgres, Valkey
from billing_site.local.make import Make
from billing_site.local.run_alone import Refused, only_run_here, port_number, refuse_taken_port
from billing_site.local.supervisor import Command, GaveUp, Supervisor

if TYPE_CHECKING:
    from billing_site.local.preparation import TestUser

CHECKOUT = Path(__file__).resolve().parents[2]
HEALTH_SECONDS = 60
ALONE = ("--without-mingle", "--without-gossip", "--without-heartbeat")
"""A worker talks to no other worker: what it would hear, and be woken for, is of no use here."""
GRACEFUL_SECONDS = 3  # for requests that are being answered when the end comes


class Ended(BaseException):
    """Somebody asked for the end: Ctrl-C, SIGTERM, or the terminal was closed."""


def main() -> int:
    """Run until asked to end (exit code 0) or until something cannot be started or kept running (1)."""
    try:
        return Run(Places(CHECKOUT)).until_ended()
    except (Refused, EngineError, GaveUp, ImproperlyConfigured) as error:
        print(f"make run: {error}", file=sys.stderr, flush=True)
        return 1


def say(text: str) -> None:
    """Print at once; a terminal that is gone is no reason to fail."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


class Run:
    """One `make run` of a checkout: its engines and commands, from the first message to the last."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.logs = places.local / "log"
        self.host = os.environ.get("HOST") or "127.0.0.1"
        self.port = port_number(os.environ.get("PORT") or "8000")
        self.supervisor = Supervisor(say)
        self.ended = False
        self.make = Make()
        self.card_server: list[str] = []
        self.demo_chain: DemoChain | None = None

    def until_ended(self) -> int:
        self.places.local.mkdir(parents=True, exist_ok=True)
        self._listen_to_signals()
        with contextlib.suppress(Ended), only_run_here(self.places.local / "run.lock", say) as held:
            refuse_taken_port(self.host, self.port)
            try:
                self._start(held)
                self.supervisor.tend_until(self.make.was_interrupted, float("inf"))
            finally:
                self.ended = True
                say("\nending ...")
                self.supervisor.stop(first=["web"])
        say("ended")
        return 0

    def _listen_to_signals(self) -> None:
        def on_signal(number: int, frame: FrameType | None) -> None:
            if not self.ended:
                self.ended = True
                raise Ended

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, on_signal)
        self.make.tie_us()

    def _start(self, held: int) -> None:
        self._lay_out()
        self._start_engines(held)
        say("preparing the database ...")
        password, users = self._prepare()
        say("starting the site ...")
        self._start_commands(held)
        if not self.supervisor.tend_until(self._is_healthy, HEALTH_SECONDS):
            raise GaveUp(f"the site is not healthy after {HEALTH_SECONDS} s; see {self.logs}/web.log")
        from billing_site.local.welcome import welcome

        self.supervisor.patient = True
        self._start_watcher(held)
        say(welcome(f"http://{self._address}", password, users, self.places.local))
        if self.card_server:
            say(card_demo.SHOWN)
        if self.demo_chain is not None:
            say(HOW_TO_PAY.format(python=sys.executable))

    def _lay_out(self) -> None:
        """Move the last run's logs aside, empty the folder of metrics, and set what every process's environment has."""
        self.logs.mkdir(exist_ok=True)
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))
        metrics = self.places.local / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        os.environ["PYTHONUNBUFFERED"] = "1"
        os.environ["DJANGO_SETTINGS_MODULE"] = "billing_site.settings"
        os.environ.setdefault("SANDBOX", "1")
        os.environ.setdefault("SITE_URL", f"http://{self._address}")
        os.environ.setdefault("ALLOWED_HOSTS", f"localhost,127.0.0.1,[::1],{self._host}")
        if card_demo.is_wanted():
            self.card_server = card_demo.lay_out(f"http://{self._address}", self.places.local)

    def _start_engines(self, held: int) -> None:
        if not os.environ.get("DATABASE_URL"):
            say("starting PostgreSQL ...")
            home, sockets = self.places.local / "postgres", self.places.postgres_sockets
            log = self.logs / "postgres.log"
            self.supervisor.start(Postgres(home, sockets, log=log, descriptors=[held], say=say))
        if not os.environ.get("REDIS_URL"):
            say("starting Valkey ...")
            home, socket = self.places.local / "valkey", self.places.valkey_socket
            self.supervisor.start(Valkey(home, socket, log=self.logs / "valkey.log", descriptors=[held]))

        if os.environ.get("PAYMENTS") == "demo":
            self._start_demo_chain(held)

    def _start_demo_chain(self, held: int) -> None:
        demo = DemoChain(self.places.local, say)
        say("starting the demo chain ...")
        try:
            demo.start(self.supervisor, self.logs, [held])
        except Missing as missing:
            say(f"PAYMENTS=demo without stablecoins: {missing}")
        else:
            self.demo_chain = demo

    def _start_watcher(self, held: int) -> None:
        """Where a node is named and a chain is enabled. A watcher that fails is no reason to end the site."""
        from billing_site.local.preparation import has_chains

        if has_chains():
            log = self.logs / "watcher.log"
            self.supervisor.start(
                Command("watcher", WATCHER, log=log, env=os.environ, cwd=CHECKOUT, descriptors=[held])
            )

    def _prepare(self) -> "tuple[str, list[TestUser]]":
        """The password of the logins, and the test users: neither in a database that was given."""
        import django
        from django.core.management import CommandError
        from django.db import Error, connections

        try:
            django.setup()
            from billing_site.local import preparation
            from billing_site.local.reachability import unreachable

            if problem := unreachable():
                raise Refused(problem)
            preparation.prepare_database()
            if self.demo_chain is not None:
                self.demo_chain.prepare()
            if os.environ.get("DATABASE_URL"):
                return "", []  # somebody's own: it gets tables, and nobody who may log in
            password = preparation.local_password(self.places.local / "password")
            preparation.ensure_staff(password)
            return password, preparation.make_test_users(password)
        except (ImproperlyConfigured, CommandError, Error) as error:
            raise Refused(" ".join(str(error).split())) from error
        finally:
            connections.close_all()

    def _start_commands(self, held: int) -> None:
        if self.card_server:
            log = self.logs / "cards.log"
            self.supervisor.start(card_demo.command(self.card_server, log=log, checkout=CHECKOUT, held=held))
        python = sys.executable
        celery = [python, "-m", "celery", "-A", "billing_site"]
        quiet = ["--loglevel", "INFO"]
        beat_file = str(self.places.local / "beat-schedule")
        bind = ["--bind", self._address, "--graceful-timeout", str(GRACEFUL_SECONDS)]
        commands = {
            "web": [python, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", *bind],
            "worker": [*celery, "worker", *quiet, "--pool", "threads", "--concurrency", "2", *ALONE],
            "beat": [*celery, "beat", *quiet, "--schedule", beat_file, "--pidfile", ""],
            "drain": [python, "manage.py", "drain_usage", "--follow"],
        }
        for name, argv in commands.items():
            log = self.logs / f"{name}.log"
            command = Command(
                name,
                argv,
                log=log,
                env=os.environ,
                cwd=CHECKOUT,
                descriptors=[held],
                patience_seconds=GRACEFUL_SECONDS + 2,  # gunicorn ends its workers itself after that time
            )
            self.supervisor.start(command)

    @property
    def _address(self) -> str:
        return f"{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        """HOST as a URL and a Host header have it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def _is_healthy(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        connection = http.client.HTTPConnection(host, self.port, timeout=2)
        try:
            connection.request("GET", "/health", headers={"Host": "localhost"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


if __name__ == "__main__":
    sys.exit(main())
