"""Refused calls, counted: one row an account, UTC date, feature and reason, however many calls there were.

A refusal costs no statement of PostgreSQL. Each process counts in its memory and adds what it has counted every few
seconds, and when it ends. docs/reliability.md says what a kill loses.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter
from datetime import date
from typing import Final, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from prometheus_client import Counter as Metric

from ratelimit import process_state
from usage.metering.admission import Admission
from usage.metering.refusal import Refusal

logger = logging.getLogger(__name__)
SECONDS: Final = 5.0
"""Between two times that a process adds what it has counted."""
MOST: Final = 20_000
"""Rows that a process counts for at once; calls of further ones are counted as lost."""
AT_ONCE: Final = 1_000
OVERAGE_CAP: Final = "overage_cap"
"""The reason instead of `quota_exceeded` where tokens above the quota are sold: the customer's limit for them."""

# In the order of the key: whoever else adds to these rows takes them in the same order.
ADD = """
INSERT INTO usage_refusedcalls AS kept (account_id, date, feature, reason, calls)
    SELECT * FROM unnest(%s::bigint[], %s::date[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (account_id, date, feature, reason) DO UPDATE SET calls = kept.calls + EXCLUDED.calls
"""
lost_refusals = Metric("metered_refused_calls_lost", "Refused calls that no day counts: PostgreSQL was gone for long.")


class Kind(NamedTuple):
    """What is counted together. `feature` is "" of calls of no feature."""

    account: int
    date: date
    feature: str
    reason: str


class _Counts:
    """What this process has counted and not yet added."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: Counter[Kind] = Counter()
        self.adding = threading.Lock()
        self.ending = threading.Event()
        self.thread: threading.Thread | None = None

    def add(self, calls: Counter[Kind]) -> bool:
        """False when there are too many kinds for one of these, which is lost."""
        with self.lock:
            for kind, number in calls.items():
                if kind in self.calls or len(self.calls) < MOST:
                    self.calls[kind] += number
                else:
                    lost_refusals.inc(number)
            if self.thread is not None or not self.calls:
                return False
            self.thread = threading.Thread(target=_add_regularly, args=(self,), name="refused calls", daemon=True)
            return True

    def take(self) -> Counter[Kind]:
        with self.lock:
            taken, self.calls = self.calls, Counter()
            return taken


_counts: _Counts = process_state.remember(__name__, "_counts", _Counts)


def count(admission: Admission, refusal: Refusal) -> None:
    """Count one call that was refused: in memory, and once in a while a thread is started."""
    feature = admission.request.feature
    reason = OVERAGE_CAP if refusal.parameters.get("overage") is not None else refusal.code
    code = feature.code if feature is not None else ""
    kind = Kind(admission.snapshot.facts.account, admission.decided_at.date(), code, reason)
    counts = _counts
    if counts.add(Counter((kind,))) and settings.REDIS_PROBE_MS and counts.thread is not None:
        counts.thread.start()


def flush() -> None:
    """Add to PostgreSQL what this process has counted. Raises django's Error, and then counts it still.

    When the answer to a COMMIT is lost, its calls may be counted twice.
    """
    counts = _counts
    with counts.adding:
        taken = counts.take()
        kinds = sorted(taken)
        try:
            for at in range(0, len(kinds), AT_ONCE):
                _add(kinds[at : at + AT_ONCE], taken)
        except BaseException:
            counts.add(taken)
            raise


def _add(kinds: list[Kind], taken: Counter[Kind]) -> None:
    """Those that were added are taken no more."""
    columns = [list(column) for column in zip(*kinds, strict=True)]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ADD, [*columns, [taken[kind] for kind in kinds]])
    for kind in kinds:
        del taken[kind]


def _add_regularly(counts: _Counts) -> None:
    """Until nothing is left to add; the next refusal begins anew."""
    while True:
        counts.ending.wait(SECONDS)
        try:
            flush()
        except Exception as error:  # or nobody would be counted for any more
            logger.warning("refused calls are counted later: %s", error)
        finally:
            connection.close()
        with counts.lock:
            if not counts.calls or counts.ending.is_set():
                counts.thread = None
                return


@atexit.register
def add_the_last() -> None:
    """At the end of the process."""
    counts = _counts
    counts.ending.set()
    thread = counts.thread
    if thread is not None and thread.is_alive():
        thread.join(2 * SECONDS)
    if lost := counts.take().total():
        logger.warning("%d refused calls are not counted: PostgreSQL has not taken them", lost)
