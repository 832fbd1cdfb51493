"""What keeps `make run` from starting: another run of this checkout, or somebody else on the port."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from billing_site.local.engines.locks import kill_holders, try_lock

LEFTOVERS_SECONDS = 30  # what a killed run started should end by itself within this time; then it is killed
POLL_SECONDS = 0.05


class Refused(Exception):
    """We do not start; the message is one line that says why and what to do."""


@contextlib.contextmanager
def only_run_here(path: Path, say: Callable[[str], None] = print) -> Iterator[int]:
    """Hold the checkout's lock. Yields its descriptor, for every process of the run to inherit.

    Raises Refused at once when another run holds it. What a killed run left behind has 30 seconds to end, and is then
    killed. At the end so is what has inherited the lock and still runs: when this returns, nothing does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline: float | None = None
        while not try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode().strip()
            if _lives(holder):
                raise Refused(f"this checkout is already running (process {holder}); end it with Ctrl-C there")
            if deadline is None:
                say("waiting for what a killed run left behind to end ...")
                deadline = time.monotonic() + LEFTOVERS_SECONDS
            if time.monotonic() > deadline:
                kill_holders(path)
                if try_lock(descriptor):
                    break
                raise Refused(f"what a killed run started still holds {path}; end it")
            time.sleep(POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield descriptor
        finally:
            kill_holders(path)
    finally:
        os.close(descriptor)


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
