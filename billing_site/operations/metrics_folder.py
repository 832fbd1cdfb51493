"""The folder in which the web processes add up their metrics. Nothing here imports the client library before it is set.

Each process keeps its counts in files of its own. Those of a process that has ended are added to files that stand for
all of them, so that totals never fall and a site that renews its workers every hour does not gather files.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PREFIX: Final = "metered-metrics-"
ENDED: Final = "ended"
"""In the place of a process id: all that have ended."""
ADDED_UP: Final = ("counter", "histogram")
"""Kinds of files whose values are added up over processes; the only ones that there are, as gauges are read."""


def own_folder(within: str | None) -> str:
    """A new folder for the processes that come from this one; those that nobody uses any more are removed."""
    made = Path(mkdtemp(prefix=PREFIX, dir=within))
    _hold(made)
    for old in made.parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or removed by another one that starts
            if old != made and _is_free(old):
                shutil.rmtree(old)
    return str(made)


def add_ended(folder: str, pids: set[int]) -> None:
    """Add the files of processes that have ended to those of all that have, and take those ids out of `pids`.

    Left for the next time while somebody reads them.
    """
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(BlockingIOError), locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for pid in list(pids):
            for kind in ADDED_UP:
                ended = Path(folder, f"{kind}_{pid}.db")
                if ended.exists():
                    _add(ended, Path(folder, f"{kind}_{ENDED}.db"))
                    ended.unlink()
            mark_process_dead(pid, folder)
            pids.discard(pid)


def _add(source: Path, target: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    values = {key: value for key, value, *_ in MmapedDict.read_all_values_from_file(str(source))}
    total = MmapedDict(str(target))
    try:
        for key, value in values.items():
            before, _ = total.read_value(key)
            total.write_value(key, before + value, 0.0)
    finally:
        total.close()


@contextmanager
def locked(folder: str, how: int) -> Iterator[None]:
    """Raises BlockingIOError where it is not to wait, and would have to."""
    descriptor = os.open(Path(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> None:
    """For as long as this process, or one that it has started, lives."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def _is_free(folder: Path) -> bool:
    if folder.stat().st_uid != os.geteuid():
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
