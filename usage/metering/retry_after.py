"""How long until a call would pass: the truth behind Retry-After."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from billing.rules.entitlement import QUOTA, Facts, entitle
from ratelimit.limits import Standing
from usage.metering.admission import Admission

MILLISECOND = timedelta(milliseconds=1)


def longest_wait(admission: Admission, standings: Sequence[Standing], cost: int) -> tuple[Standing, int | None]:
    """The standing to wait longest for, and that wait in milliseconds until a call of this cost passes it.

    None means that waiting cannot help, which is the longest; of two alike it is the quota.
    """
    waits = [
        _quota_wait_ms(admission, standing, cost) if standing.limit.name == QUOTA else standing.wait_for_ms(1)
        for standing in standings
    ]
    position = max(range(len(waits)), key=lambda i: (waits[i] is None, waits[i] or 0, i))
    return standings[position], waits[position]


def _quota_wait_ms(admission: Admission, standing: Standing, cost: int) -> int | None:
    """Until the first instant at which time alone makes room: the window's end, or the edge of an exception."""
    if cost == 0 or standing.admits(cost):
        return 0
    snapshot, now = admission.snapshot, admission.decided_at
    window = snapshot.entitlement.window
    edges = {window.end, *(edge for edge in _edges(snapshot.facts) if edge > now)}
    for edge in sorted(edges):
        then = entitle(snapshot.facts, snapshot.catalogue.plans, edge)
        used = standing.used if then.window == window else 0
        if then.quota is None or used + cost <= then.quota:
            return -((now - edge) // MILLISECOND)
    return None


def _edges(facts: Facts) -> Iterable[datetime]:
    edges = [facts.scheduled_at, *(override.expires_at for override in facts.overrides)]
    edges += [edge for top_up in facts.top_ups for edge in (top_up.starts_at, top_up.expires_at)]
    return (edge for edge in edges if edge is not None)
