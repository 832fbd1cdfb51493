"""Ports for servers of a test."""

from __future__ import annotations

import random
import socket

BUS_OFFSET = 10_000  # a cluster node's bus listens on its port plus this
# Both below 32,768, from where on the system gives ports to outgoing connections.
LOWEST, HIGHEST = 12_000, 22_000
# Not seeded by the test run, which would give its parallel processes the same ports.
_chance = random.SystemRandom()


def free_port() -> int:
    """A port that is free together with its cluster bus'."""
    while True:
        port = _chance.randrange(LOWEST, HIGHEST)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + BUS_OFFSET))
            except OSError:
                continue
        return port
