"""The lock of a folder: who belongs to an engine or a run has inherited its lock, so the kernel knows who is left."""

import contextlib
import fcntl
import os
import signal
from pathlib import Path

from billing_site.local.engines.process import EngineError, wait_until

KILLED_SECONDS = 30  # for the kernel to end what was killed; a process that writes to a slow disk ends after that


def lock(path: Path, patience_seconds: float) -> int:
    """Take the lock of an engine's folder and return the descriptor that holds it.

    The engine inherits the descriptor, so the lock lasts exactly as long as the engine, even after its parent was
    killed. Hence the patience: an engine whose parent has just died is still shutting down. Raises EngineError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        wait_until(lambda: try_lock(descriptor), patience_seconds, f"{path.parent} is in use by another process")
    except EngineError:
        os.close(descriptor)
        raise
    return descriptor


def try_lock(descriptor: int) -> bool:
    """Lock the open file if nobody else holds its lock; whether we hold it now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def kill_holders(path: Path) -> None:
    """Kill the other processes that hold the lock of `path`, and return when none is left.

    A process group does not name them all: PostgreSQL's processes are in sessions of their own. Only Linux tells who
    holds a lock; elsewhere this does nothing. Raises EngineError when one does not end.
    """

    def none_is_left() -> bool:
        left = _other_holders(path)
        for pid in left:
            _kill(pid)
        return not left

    wait_until(none_is_left, KILLED_SECONDS, f"what was killed still holds {path}")


def _other_holders(path: Path) -> set[int]:
    """Who has inherited the locked file. Others may have the file open, to ask for its lock."""
    try:
        locked = path.stat()
    except FileNotFoundError:
        return set()
    holders = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        process = descriptor.parents[1]
        try:
            is_it = os.path.samestat(descriptor.stat(), locked)
            if is_it and "FLOCK" in (process / "fdinfo" / descriptor.name).read_text():
                holders.add(int(process.name))
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return holders - {os.getpid()}


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
