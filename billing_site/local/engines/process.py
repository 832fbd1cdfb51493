"""One child process that dies with its parent; what both engines share."""

import contextlib
import ctypes
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02
PR_SET_PDEATHSIG = 1
TO_A_CLIENT = re.compile(r"the database system is (starting up|in recovery mode|shutting down|not yet accepting)")
"""What PostgreSQL logs as FATAL and says of nothing but a client that came too early or too late."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which somebody asks `make run` to end."""


class EngineError(Exception):
    """An engine cannot be started; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class OsUser:
    """An operating-system user to run a child as."""

    name: str
    uid: int
    gid: int


def unprivileged_user() -> OsUser | None:
    """Whom PostgreSQL runs as when we are root, which its binaries refuse; None when we are an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return OsUser(name, entry.pw_uid, entry.pw_gid)
    raise EngineError(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody; run this as an ordinary user"
    )


def private_folder(path: Path, mode: int = 0o700, owner: OsUser | None = None) -> Path:
    """Make or check a folder that only we (or `owner`) can write to.

    Raises EngineError when it belongs to somebody else or is a link: others can write to the folders it lies in.
    """
    uid = owner.uid if owner else os.geteuid()
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if owner:
            os.chown(path, owner.uid, owner.gid)
    found = path.lstat()
    is_folder = (found.st_mode & 0o170000) == 0o040000
    if not is_folder or found.st_uid not in (uid, os.geteuid()):
        raise EngineError(f"{path} belongs to somebody else or is not a folder; remove it")
    if found.st_uid != uid and owner:
        os.chown(path, owner.uid, owner.gid)
    if found.st_mode & 0o777 != mode:
        path.chmod(mode)
    return path


def sockets_folder(path: Path) -> Path:
    """Make or check the folder above our sockets; as root, PostgreSQL's user may pass through it to its own."""
    return private_folder(path, 0o711 if os.geteuid() == 0 else 0o700)


def remove_if_empty(*folders: Path) -> None:
    """Clear away socket folders, each unless something is still in it."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Poll until `holds()`; raises EngineError(otherwise) once `seconds` are over."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise EngineError(otherwise)
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def noting_a_child() -> Iterator[None]:
    """Around `spawn` and the line that remembers its child: a Ctrl-C in between is handled after it.

    Or nobody would end the child, whom nobody knows.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    held = [number for number, handler in before.items() if callable(handler)]
    for number in held:
        signal.signal(number, lambda arrived, _: came.append(arrived))
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, before[number])
        for arrived in came:
            signal.raise_signal(arrived)


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    death_signal: signal.Signals = signal.SIGTERM,
    user: OsUser | None = None,
    descriptors: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own (Ctrl-C on the terminal does not reach it), its output appended to `log`.

    On Linux the kernel sends it `death_signal` when the calling thread ends, however that happens; call this from a
    thread that lives as long as the child should.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            pass_fds=descriptors,
            start_new_session=True,
            umask=0o077,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            preexec_fn=_arm(death_signal),  # noqa: PLW1509  # it calls the kernel only
        )


def _arm(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec; subprocess runs it after the change of user, which would disarm it."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before we were armed
            os._exit(1)

    return arm


def end(child: "subprocess.Popen[bytes]", steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, waiting its seconds for the child to end; then kill what is left of its session."""
    for number, seconds in steps:
        if child.poll() is None:
            child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def last_line(log: Path) -> str:
    """The last line of a log that says something, for an error message."""
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if ("FATAL" in line or "PANIC" in line) and not TO_A_CLIENT.search(line)]
        if lines:
            return (errors or lines)[-1].strip()
    return "it wrote nothing"
