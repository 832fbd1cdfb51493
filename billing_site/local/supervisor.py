"""Keep a set of processes running: restart what dies, end all of it in order."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from billing_site.local.engines.process import EngineError, end, last_line, noting_a_child, spawn

POLL_SECONDS = 0.1
CALM_POLL_SECONDS = 1.0  # once all have started well: each look wakes an idle machine
QUICK_DEATH_SECONDS = 20  # a process that lived longer than this had started well
DELAYS_SECONDS = (0.5, 1, 2, 4, 8)  # before each restart after deaths in a row


class Service(Protocol):
    """One process that is to run all the time."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes] | None"

    def start(self) -> None:
        """Start the process; raises EngineError when that is impossible."""

    def stop(self) -> None:
        """End the process and everything it started."""


class Command:
    """A service that is a command line; on SIGTERM it has `patience_seconds` to finish what it is doing."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        descriptors: Sequence[int] = (),
        patience_seconds: float = 3,
    ) -> None:
        self.name = name
        self.argv = argv
        self.log = log
        self.env = env
        self.cwd = cwd
        self.descriptors = descriptors  # open files that the process inherits, a lock for instance
        self.patience_seconds = patience_seconds
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with noting_a_child():
            self.process = spawn(self.argv, log=self.log, env=self.env, cwd=self.cwd, descriptors=self.descriptors)

    def signal_end(self) -> None:
        """Ask for the end without waiting, so that several services end at the same time."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        if self.process:
            end(self.process, [(signal.SIGTERM, self.patience_seconds)])
            self.process = None


class GaveUp(Exception):
    """A service dies again and again; the message is one line."""


class Supervisor:
    """The running services, in the order they were started in.

    While it starts, a service that dies after each delay is given up. Once `patient`, it is tried for ever instead:
    what one service lacks is no reason to end the others.
    """

    def __init__(self, say: Callable[[str], None], delays_seconds: Sequence[float] = DELAYS_SECONDS) -> None:
        self.say = say
        self.delays_seconds = delays_seconds
        self.patient = False
        self.services: list[Service] = []
        self._deaths: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def start(self, service: Service) -> None:
        """Start a service and keep it running from now on. Raises EngineError."""
        self.services.append(service)
        self._started[service.name] = time.monotonic()
        service.start()

    def tend(self) -> None:
        """Look at every service once: report one that died, and start it again after its delay. Raises GaveUp."""
        for service in self.services:
            now = time.monotonic()
            if service.name in self._due:
                if now >= self._due[service.name]:
                    self._restart(service, now)
            elif service.process and (code := service.process.poll()) is not None:
                self._bury(service, f"exit code {code}" if code >= 0 else signal.Signals(-code).name, now)

    def tend_until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Tend the services until `holds()` is true. False when `seconds` pass first. Raises GaveUp."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                return False
            self.tend()
            time.sleep(CALM_POLL_SECONDS if self._is_calm() else POLL_SECONDS)
        return True

    def stop(self, first: Sequence[str] = ()) -> None:
        """End every service: those named `first` one by one, then the other commands together, then the engines."""
        named = [service for name in first for service in self.services if service.name == name]
        for service in named:
            service.stop()
        rest = [service for service in self.services if service not in named]
        for service in rest:
            if isinstance(service, Command):
                service.signal_end()
        for service in reversed(rest):
            service.stop()
        self.services.clear()

    def _is_calm(self) -> bool:
        well_since = time.monotonic() - QUICK_DEATH_SECONDS
        return not self._due and all(started < well_since for started in self._started.values())

    def _bury(self, service: Service, how: str, now: float) -> None:
        lived = now - self._started[service.name]
        deaths = 0 if lived > QUICK_DEATH_SECONDS else self._deaths.get(service.name, 0)
        what = f"{service.name} ended with {how}: {last_line(service.log)} (log: {service.log})"
        service.stop()  # what it left running in its session
        delay, last = self.delays_seconds[min(deaths, len(self.delays_seconds) - 1)], len(self.delays_seconds)
        if deaths >= last and not self.patient:
            raise GaveUp(f"{what}; it keeps doing so, giving up")
        if deaths < last:
            self.say(f"{what}; starting it again")
        elif deaths == last:
            self.say(f"{what}; it keeps doing so; tried every {delay} s from now on")
        self._deaths[service.name] = deaths + 1
        self._due[service.name] = now + delay

    def _restart(self, service: Service, now: float) -> None:
        del self._due[service.name]
        self._started[service.name] = now
        try:
            service.start()
        except EngineError as error:
            self._bury(service, str(error), now)
