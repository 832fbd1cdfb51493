"""Run the test provider until it is ended: `python -m tests.servers.card PORT [WEBHOOK_URL]`.

The front in this process, localstripe in a child: as a program of its own, in an environment of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from billing_site.local.engines.places import Places
from billing_site.local.engines.process import spawn
from tests.ports import free_port
from tests.servers.card.front import Front

CHECKOUT = Path(__file__).resolve().parents[3]
ENVIRONMENT = Places(CHECKOUT).local / "card-server"
PYTHON = ENVIRONMENT / "bin" / "python"
STARTS_WITHIN_SECONDS = 20
# After each step it writes all that it holds into one file, which is never read here, and which somebody else may own.
LOCALSTRIPE = """
import builtins, os, pickle, runpy
opened = builtins.open
builtins.open = lambda name, *a, **k: opened(os.devnull if name == "/tmp/localstripe.pickle" else name, *a, **k)
pickle.dump = lambda *a, **k: None
runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
"""


def main(port: int, webhook: str) -> None:
    upstream = free_port()
    argv = [str(PYTHON), "-c", LOCALSTRIPE, "--port", str(upstream), "--from-scratch"]
    child = spawn(argv, log=Path("/dev/null"))
    wait_for(upstream, child)
    front = Front(port, upstream)
    front.telling.to(webhook)
    threading.Thread(target=end_with, args=(child, front), daemon=True).start()
    print(f"card provider for tests at {front.checkout.base}", flush=True)
    front.serve_forever()


def wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < until and child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"localstripe does not start: {PYTHON}")


def end_with(child: subprocess.Popen[bytes], front: Front) -> None:
    child.wait()
    print("localstripe has ended", flush=True)
    front.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
