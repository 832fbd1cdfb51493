"""A server that seems further away: python -m tests.programs.bench.distance PORT TARGET_PORT MICROSECONDS.

Whatever arrives at PORT goes on to TARGET_PORT that much later, and what comes back as well.
"""

from __future__ import annotations

import socket
import sys
import threading
from time import perf_counter_ns


def main() -> None:
    port, target, microseconds = map(int, sys.argv[1:])
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        while True:
            near, _ = server.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for one, other in ((near, far), (far, near)):
                other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_carry, args=(one, other, microseconds * 1000), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket, nanoseconds: int) -> None:
    try:
        while data := one.recv(1 << 20):
            due = perf_counter_ns() + nanoseconds
            while perf_counter_ns() < due:  # a sleep of this length is out by half
                pass
            other.sendall(data)
    except OSError:
        pass
    finally:
        other.close()


if __name__ == "__main__":
    main()
