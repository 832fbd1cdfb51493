"""Starting a server of this folder, for as long as this process of tests lives."""

from __future__ import annotations

import atexit
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from billing_site.local.engines.process import end, last_line, spawn, wait_until
from tests.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[2]


def run(module: str, answers: Callable[[str], object], within_seconds: float) -> str:
    """The URL at which `python -m module PORT` serves: `answers`, which is asked with it, raised no OSError.

    Raises RuntimeError where it has ended by itself, and EngineError where it has not answered in that time.
    """
    folder = Path(mkdtemp(prefix=f"{module}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    log, port = folder / "log", free_port()
    child = spawn([sys.executable, "-m", module, str(port)], log=log, cwd=CHECKOUT)
    atexit.register(end, child, [(signal.SIGTERM, 3)])
    url = f"http://127.0.0.1:{port}"

    def does() -> bool:
        if child.poll() is not None:
            raise RuntimeError(f"{module} does not start: {last_line(log)}")
        try:
            answers(url)
        except OSError:
            return False
        return True

    wait_until(does, within_seconds, f"{module} does not answer")
    return url
