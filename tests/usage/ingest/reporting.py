"""Events as `usage.ingest` takes them, and what came of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from billing.rules.instants import to_ms
from ratelimit import process_state
from usage.ingest.record import ingest
from usage.ingest.reported import Ingested, Reported

_numbers = itertools.count(1)


def reported(account: int, at: datetime, name: str = "", feature: str = "trace_start", **more: Any) -> Reported:
    return Reported(account, "", name or f"n{next(_numbers)}", feature, to_ms(at), **more)


def report(account: int, now: datetime, *instants: datetime, feature: str = "trace_start") -> Ingested:
    """Calls at these instants, reported at `now` by a process that knows nothing yet."""
    process_state.start_anew()
    return ingest([reported(account, at, feature=feature) for at in instants], "prefix", now)


def accepted(done: Iterable[Ingested]) -> int:
    return sum(each.accepted for each in done)
