"""What the enforcement Redis holds and which commands it really received, as the server itself tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ratelimit.store import client

ENFORCEMENT_DATABASE = 0


@contextmanager
def redis_commands() -> Iterator[list[str]]:
    """Fills a list with the names of the commands that arrived within, those that scripts run not counted."""
    seen: list[str] = []
    server = client()
    with server.monitor() as monitor:
        events = monitor.listen()
        server.echo("begin")  # connects, which takes commands of its own
        next(event for event in events if event["command"] == "ECHO begin")
        yield seen
        server.echo("end")
        for event in events:
            if event["command"] == "ECHO end":
                break
            if event["client_type"] != "lua" and event["db"] == ENFORCEMENT_DATABASE:
                seen.append(event["command"].split()[0].upper())


def version_in_redis(subject_key: str) -> int:
    return int(client().get(subject_key) or 0)  # type: ignore[arg-type]
