"""The supervisor with real processes: what dies is restarted and reported, and the end leaves nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing_site.local import supervisor
from billing_site.local.engines.process import EngineError, spawn, wait_until
from billing_site.local.supervisor import Command, GaveUp, Supervisor


class Cast:
    """A supervisor, what it said, and commands for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.supervisor = Supervisor(self.said.append, delays_seconds=(0, 0.01))

    def command(self, name: str, shell: str, patience_seconds: float = 3) -> Command:
        argv = ["/bin/sh", "-c", shell]
        log = self.folder / f"{name}.log"
        return Command(name, argv, log=log, env=os.environ, cwd=self.folder, patience_seconds=patience_seconds)


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    made = Cast(tmp_path)
    yield made
    made.supervisor.stop()


def pid_of(command: Command) -> int:
    assert command.process
    return command.process.pid


def session_lives(session: int) -> bool:
    listing = subprocess.run(["ps", "-s", str(session), "-o", "stat="], capture_output=True, text=True, check=False)
    return any(not line.startswith("Z") for line in listing.stdout.split())


def session_ends(session: int) -> None:
    """The kernel takes a moment for a signal; it must not take a sleep's sixty seconds."""
    wait_until(lambda: not session_lives(session), 30, f"session {session} still runs")


def test_a_killed_process_is_started_again_and_reported_in_one_line(cast: Cast) -> None:
    command = cast.command("drain", "echo working; exec sleep 60")
    cast.supervisor.start(command)
    assert cast.supervisor.tend_until(lambda: "working" in command.log.read_text(), 5)
    first = pid_of(command)
    os.kill(first, signal.SIGKILL)
    assert cast.supervisor.tend_until(lambda: command.process is not None and pid_of(command) != first, 5)
    assert cast.said == [f"drain ended with SIGKILL: working (log: {command.log}); starting it again"]


def test_a_process_that_keeps_dying_is_given_up_with_its_last_words(cast: Cast) -> None:
    cast.supervisor.start(cast.command("web", "echo started >> starts; echo no luck; exit 3"))
    with pytest.raises(GaveUp, match=r"web ended with exit code 3: no luck .* giving up"):
        cast.supervisor.tend_until(lambda: False, 10)
    assert (cast.folder / "starts").read_text().count("started") == 3  # the first, and one for each delay


def test_once_the_site_is_up_nothing_is_given_up_and_the_others_run_on(cast: Cast) -> None:
    web = cast.command("web", "echo up; exec sleep 60")
    drain = cast.command("drain", "echo started >> starts; test -e mended && exec sleep 60; exit 3")
    cast.supervisor.start(web)
    cast.supervisor.patient = True
    cast.supervisor.start(drain)
    starts, first = cast.folder / "starts", pid_of(web)
    assert cast.supervisor.tend_until(lambda: starts.exists() and starts.read_text().count("started") >= 6, 10)
    assert pid_of(web) == first and session_lives(first)
    assert len(cast.said) == 3, "a line for each delay, and one that says how it goes on"
    assert "it keeps doing so; tried every 0.01 s" in cast.said[-1]
    (cast.folder / "mended").touch()
    count = starts.read_text().count("started")
    assert cast.supervisor.tend_until(
        lambda: (
            starts.read_text().count("started") > count and drain.process is not None and session_lives(pid_of(drain))
        ),
        10,
    )


def test_what_a_dead_process_left_in_its_session_ends_before_the_restart(cast: Cast) -> None:
    command = cast.command("web", "sleep 60 & exit 1")
    cast.supervisor.start(command)
    session = pid_of(command)
    assert cast.supervisor.tend_until(lambda: bool(cast.said), 5)
    session_ends(session)


def test_the_end_is_in_order_and_polite(cast: Cast) -> None:
    for name in ("engine", "web", "worker"):
        polite = f"trap 'echo {name} >> order; exit 0' TERM; echo up; while :; do sleep 0.02; done"
        command = cast.command(name, polite)
        cast.supervisor.start(command)
        assert cast.supervisor.tend_until(lambda command=command: "up" in command.log.read_text(), 5)  # type: ignore[misc]
    sessions = [pid_of(service) for service in cast.supervisor.services if isinstance(service, Command)]
    cast.supervisor.stop(first=["web"])
    assert (cast.folder / "order").read_text().split()[0] == "web"
    assert sorted((cast.folder / "order").read_text().split()) == ["engine", "web", "worker"]
    for session in sessions:
        session_ends(session)


def test_who_does_not_listen_is_killed_with_all_it_started(cast: Cast) -> None:
    command = cast.command("worker", "trap '' TERM; sleep 60 & echo up; wait; wait", patience_seconds=0.05)
    cast.supervisor.start(command)
    assert cast.supervisor.tend_until(lambda: "up" in command.log.read_text(), 5)
    session = pid_of(command)
    cast.supervisor.stop()
    session_ends(session)


def test_an_engine_that_does_not_come_back_is_reported_and_tried_again(cast: Cast) -> None:
    class Moody(Command):
        starts = 0

        def start(self) -> None:
            self.starts += 1
            if self.starts == 2:
                raise EngineError("not today")
            super().start()

    engine = Moody(
        "valkey", [sys.executable, "-c", "input()"], log=cast.folder / "log", env=os.environ, cwd=cast.folder
    )
    engine.argv = ["sleep", "60"]
    cast.supervisor.start(engine)
    os.kill(pid_of(engine), signal.SIGKILL)
    assert cast.supervisor.tend_until(lambda: engine.starts == 3, 5)
    assert "valkey ended with not today" in cast.said[1]
    assert session_lives(pid_of(engine))


def test_waiting_for_something_ends_at_its_deadline(cast: Cast) -> None:
    assert not cast.supervisor.tend_until(lambda: False, 0)


def test_a_ctrl_c_while_a_process_is_being_started_leaves_nobody_behind(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*argv: Any, **options: Any) -> "subprocess.Popen[bytes]":
        child = spawn(*argv, **options)
        os.kill(os.getpid(), signal.SIGINT)
        return child

    monkeypatch.setattr(supervisor, "spawn", interrupted)
    command = cast.command("drain", "exec sleep 60")
    with pytest.raises(KeyboardInterrupt):
        cast.supervisor.start(command)
    session = pid_of(command)
    cast.supervisor.stop()
    session_ends(session)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
