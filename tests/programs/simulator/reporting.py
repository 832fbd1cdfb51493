"""What the simulated processes do with events that are reported, and the laws that hold of them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from tests.programs.simulator.database_faults import replace_if_cut
from tests.programs.simulator.memory import Clock
from tests.programs.simulator.operations import NO_DATABASE
from tests.programs.simulator.schedule import Process
from usage.ingest.record import Busy, ingest
from usage.ingest.reported import Name, Reported

if TYPE_CHECKING:
    from tests.programs.simulator.truth import Truth

FEATURES = ("risk_score", "trace_expand")
NAMES = 6
"""Of events of an account: few, so that most batches have some that are known."""
LATEST_MS = 20_000
"""So long ago an event may lie, which may be before the month's end."""


def wanted(random: Random, truth: Truth, clock: Clock) -> list[Reported]:
    """A batch of some accounts, in any order; of one name there is one event, whenever it is sent."""
    found = []
    for _ in range(random.randint(1, 6)):
        account, number = random.choice(sorted(truth.quotas)), random.randrange(NAMES)
        event = Reported(account, "", f"e{number}", FEATURES[number % 2], clock.now_ms - random.randrange(LATEST_MS))
        found.append(truth.reported.setdefault(event.name, event))
    return found


def report(process: Process, truth: Truth, clock: Clock, batch: list[Reported]) -> None:
    """As POST /api/v1/usage/events does."""
    replace_if_cut()
    try:
        done = ingest(batch, "", clock.now())
    except (Busy, *NO_DATABASE):
        return
    if not process.dead:
        truth.answered.update(event.name for event in batch)
        if done.rejected or done.accepted + done.duplicates != len(batch):
            truth.broken.append(f"a batch of {len(batch)} is answered {done}")


def broken(truth: Truth) -> Iterator[str]:
    """Each event counts once, in its window, whoever was killed; one whose sender was answered counts."""
    accounts = list(truth.quotas)
    rows = truth.observer.rows(
        "SELECT account_id, event_id::text, feature, charged_at, window_starts_at FROM usage_usagelog"
        " WHERE source = 'events' AND account_id = ANY(%s)",
        accounts,
    )
    logged = {event: (account, feature, at, window) for account, event, feature, at, window in rows}
    known: dict[Name, str] = {
        (account, source, name): event
        for account, source, name, event in truth.observer.rows(
            "SELECT account_id, source, sent_id, event_id::text FROM usage_receivedevent WHERE account_id = ANY(%s)",
            accounts,
        )
    }
    if lost := truth.answered - known.keys():
        yield f"L2: {lost} were answered, and are not known"
    if sorted(known.values()) != sorted(logged):
        yield f"L2: known are {known}, the log has {logged}"
        return
    for name, event in known.items():
        account, feature, at, window = logged[event]
        wanted = truth.reported[name]
        if (account, feature, int(at.timestamp() * 1000)) != (wanted.account, wanted.feature, wanted.at_ms):
            yield f"L2: {wanted} stands in the log as {logged[event]}"
        if window != at.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
            yield f"L2: {wanted} is of the window {window}"
