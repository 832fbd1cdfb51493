"""What GNU make does not do for the program it runs: pass on its own end, and a SIGINT sent to make alone."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from billing_site.local.engines.process import PR_SET_PDEATHSIG


class Make:
    """The make that runs us, if one does and this is Linux; otherwise all of this is nothing."""

    def __init__(self) -> None:
        self._pid = os.getppid() if "MAKELEVEL" in os.environ and sys.platform.startswith("linux") else 0
        self._catches = self._catches_interrupts()

    def tie_us(self) -> None:
        """Have the kernel send us SIGTERM when make dies, however that happens."""
        if self._pid:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def was_interrupted(self) -> bool:
        """Whether make got a SIGINT: it then gives up its handler and waits for us, without telling us why."""
        return self._catches and not self._catches_interrupts()

    def _catches_interrupts(self) -> bool:
        if self._pid:
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
                    if line.startswith("SigCgt:"):
                        return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
        return False
