"""What keeps `make run` from starting is said in one line, at once."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from billing_site.local.run_alone import Refused, only_run_here, port_number, refuse_taken_port


def test_a_second_run_of_a_checkout_is_refused_at_once_and_names_the_first(tmp_path: Path) -> None:
    first = only_run_here(tmp_path / "lock")
    refused = pytest.raises(Refused, match=rf"already running \(process {os.getpid()}\)")
    with first, refused, only_run_here(tmp_path / "lock"):
        pass
    with only_run_here(tmp_path / "lock"):
        pass


def test_what_a_killed_run_left_behind_is_waited_for(tmp_path: Path) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    lock = tmp_path / "lock"
    with only_run_here(lock) as held:
        leftover = subprocess.Popen(["sleep", "0.3"], pass_fds=[held])
    lock.write_text(str(killed.pid))
    with only_run_here(lock):
        assert leftover.poll() is not None or leftover.wait(5) == 0


def test_leftovers_that_stay_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing_site.local.run_alone.LEFTOVERS_SECONDS", 0.1)
    with only_run_here(tmp_path / "lock") as held:
        leftover = subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=[held], stdin=subprocess.PIPE)
    (tmp_path / "lock").write_text("")
    try:
        with pytest.raises(Refused, match="already running"), only_run_here(tmp_path / "lock"):
            pass
    finally:
        leftover.communicate(b"\n")


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
