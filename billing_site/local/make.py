"""Ends `make run` with make: GNU make tells the program it runs neither of its own death nor of a SIGINT it got.

A make that a script started in the background ignores SIGINT, and nobody hears of one: SIGTERM ends such a run.
"""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from billing_site.local.engines.process import PR_SET_PDEATHSIG


class Make:
    """The make that runs this process. Without one, or not on Linux, `tie_us` does nothing and none was interrupted."""

    def __init__(self) -> None:
        self._pid = os.getppid() if "MAKELEVEL" in os.environ and sys.platform.startswith("linux") else 0
        self._catches = self._catches_interrupts()

    def tie_us(self) -> None:
        """Have the kernel send us SIGTERM when make dies, however that happens."""
        if self._pid:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def was_interrupted(self) -> bool:
        """Whether make got a SIGINT. The sign: it catches SIGINT no longer, and only waits for us."""
        return self._catches and not self._catches_interrupts()

    def _catches_interrupts(self) -> bool:
        if self._pid:
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
                    if line.startswith("SigCgt:"):
                        return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
        return False
