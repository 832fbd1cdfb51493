"""What keeps `make run` from starting is said in one line, at once."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from billing_site.local.engines.locks import lock
from billing_site.local.run_alone import Refused, only_run_here, port_number, refuse_taken_port

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who holds a lock")


def test_a_second_run_of_a_checkout_is_refused_at_once_and_names_the_first(tmp_path: Path) -> None:
    first = only_run_here(tmp_path / "lock")
    refused = pytest.raises(Refused, match=rf"already running \(process {os.getpid()}\)")
    with first, refused, only_run_here(tmp_path / "lock"):
        pass
    with only_run_here(tmp_path / "lock"):
        pass


def left_by_a_killed_run(path: Path, *argv: str) -> "subprocess.Popen[bytes]":
    """A process that has inherited the lock of a run that is no more."""
    killed = subprocess.Popen(["true"])
    killed.wait()
    held = lock(path, 0)
    path.write_text(str(killed.pid))
    leftover = subprocess.Popen(argv, pass_fds=[held], start_new_session=True)
    os.close(held)
    return leftover


def test_what_a_killed_run_left_behind_is_waited_for(tmp_path: Path) -> None:
    leftover = left_by_a_killed_run(tmp_path / "lock", "sleep", "0.3")
    with only_run_here(tmp_path / "lock"):
        assert leftover.wait(30) == 0


@LINUX
def test_what_stays_of_a_killed_run_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing_site.local.run_alone.LEFTOVERS_SECONDS", 0.1)
    leftover = left_by_a_killed_run(tmp_path / "lock", "sh", "-c", "trap '' TERM; kill -STOP $$")
    with only_run_here(tmp_path / "lock"):
        assert leftover.wait(30) == -signal.SIGKILL


@LINUX
def test_at_the_end_nothing_that_it_started_runs_and_others_do(tmp_path: Path) -> None:
    started = [sys.executable, "-c", "import os; os.setsid(); os.fork(); input()"]
    with only_run_here(tmp_path / "lock") as held:
        child = subprocess.Popen(started, pass_fds=[held], stdin=subprocess.PIPE)
        asking = subprocess.Popen(["sleep", "60"], stdin=(tmp_path / "lock").open())
    try:
        os.close(lock(tmp_path / "lock", 0))  # no fork of it is left either
        assert child.wait(30) == -signal.SIGKILL
        assert asking.poll() is None
    finally:
        asking.kill()
        asking.wait()


def test_a_taken_port_is_refused_with_another_one_to_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            Refused, match=re.escape(f"port {port} on 127.0.0.1 is taken; choose another one: PORT={port + 1}")
        ):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(Refused, match=re.escape(host)):
        refuse_taken_port(host, 8000)


@pytest.mark.parametrize("text", ["1", "8000", "65535"])
def test_ports_are_numbers(text: str) -> None:
    assert port_number(text) == int(text)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "", "80.5", "٣"])
def test_anything_else_is_no_port(text: str) -> None:
    with pytest.raises(Refused, match="PORT must be a number from 1 to 65535"):
        port_number(text)
