"""What keeps `make run` from starting: another run of this checkout, or somebody else on the port."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

LEFTOVERS_SECONDS = 15  # what a killed run started ends by itself within this time
POLL_SECONDS = 0.05


class Refused(Exception):
    """We do not start; the message is one line that says why and what to do."""


@contextlib.contextmanager
def only_run_here(path: Path) -> Iterator[int]:
    """Hold the checkout's lock. Yields its descriptor: processes that inherit it hold the lock till the last one ends.

    Raises Refused at once when another run holds it. What a killed run left behind has 15 seconds to end.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LEFTOVERS_SECONDS
        while not _locked(descriptor):
            holder = os.pread(descriptor, 20, 0).decode().strip()
            if _lives(holder) or time.monotonic() > deadline:
                raise Refused(f"this checkout is already running (process {holder}); end it with Ctrl-C there")
            time.sleep(POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def port_number(text: str) -> int:
    """PORT as a number; raises Refused for anything that is not a TCP port."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise Refused(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def refuse_taken_port(host: str, port: int) -> None:
    """Raise Refused when nobody can listen on this address and port now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise Refused(f"HOST={host} is no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(f"port {port} on {host} is taken; choose another one: PORT={port + 1} make run") from None
        raise Refused(f"cannot listen on {host} port {port}: {error.strerror}") from None
