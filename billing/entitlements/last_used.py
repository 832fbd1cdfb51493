"""When each key was used last: noted in memory by every call, written once a minute by a thread of each web process.

So it is late by up to FLUSH_SECONDS. A process that ends writes what it has; one that is killed loses that minute.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Final

from django.db import DatabaseError, InterfaceError, connection, transaction

from ratelimit import process_state

logger = logging.getLogger(__name__)
FLUSH_SECONDS: Final = 60
BATCH: Final = 1_000
# In the order of the keys, so that processes that write the same ones wait for each other in one order.
FLUSH: Final = """
INSERT INTO billing_apikeyuse AS known (key_id, used_at)
SELECT key.id, used.at FROM unnest(%s::text[], %s::timestamptz[]) AS used (prefix, at)
JOIN billing_apikey AS key USING (prefix) ORDER BY key.id
ON CONFLICT (key_id) DO UPDATE SET used_at = EXCLUDED.used_at WHERE EXCLUDED.used_at > known.used_at
"""


class _Uses:
    """By prefix, in seconds since 1970. None: nobody writes them in this process, so none are noted."""

    noted: dict[str, float] | None = None


_uses = process_state.remember(__name__, "_uses", _Uses)


def note(prefix: str) -> None:
    """A call with this key was let in now; "", for a session, is no key's. Asks no engine."""
    if (noted := _uses.noted) is not None:
        noted[prefix] = time.time()


def start() -> None:
    """Note uses in this process from now on, and write them once a minute."""
    begin()
    threading.Thread(target=_flush_for_good, name="keys-last-used", daemon=True).start()


def begin() -> None:
    """Note uses; whoever calls it calls `flush`."""
    _uses.noted = {}


def flush() -> None:
    """Write what was noted. What PostgreSQL does not take is kept for the next time."""
    if not (noted := _uses.noted):
        return
    # A thread that holds the former mapping may still write to it: that use is lost, and the next one noted.
    _uses.noted = {}
    rows = sorted(dict(noted).items())
    try:
        for at in range(0, len(rows), BATCH):
            _write(rows[at : at + BATCH])
    except (DatabaseError, InterfaceError) as error:
        logger.warning("the last uses of %s keys wait: %s", len(rows), error)
        _uses.noted = dict(rows) | _uses.noted


def _write(rows: list[tuple[str, float]]) -> None:
    times = [datetime.fromtimestamp(seconds, UTC) for _, seconds in rows]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FLUSH, [[prefix for prefix, _ in rows], times])


def _flush_for_good() -> None:
    while True:
        time.sleep(FLUSH_SECONDS)
        try:
            flush()
        except Exception:
            logger.exception("the last uses of keys could not be written")
        finally:
            connection.close()  # once a minute is no reason to hold one
