"""The audit log's rows in COPY's binary format, which costs PostgreSQL two thirds of what text does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from struct import Struct, pack

from usage.events import Event

COLUMNS = (
    "id, event_id, charged_at, created_at, account_id, tokens, feature, kind,"
    " source, key_prefix, window_starts_at, metadata"
)
HEADER = b"PGCOPY\n\xff\r\n\0" + pack(">ii", 0, 0)
END = pack(">h", -1)
NULL = pack(">i", -1)
JSONB_VERSION = b"\x01"
POSTGRES_EPOCH_MS = 946_684_800_000
"""2000-01-01: timestamps are microseconds since then."""
ROWS_A_PART = 500
# The number of columns; then for each of the first six its length in bytes and its value.
_first_columns = Struct(">h i16s i16s iq iq iq iq").pack


def encoded(events: Iterable[tuple[str, Event]]) -> Iterator[bytes]:
    """What `COPY usage_usagelog (COLUMNS) FROM STDIN (FORMAT binary)` is to be sent for these (id, event), in parts."""
    rows = (_row(event_id, event) for event_id, event in events)
    yield HEADER
    while part := b"".join(islice(rows, ROWS_A_PART)):
        yield part
    yield END


def _row(event_id: str, event: Event) -> bytes:
    charge = bytes.fromhex(event.charge.replace("-", ""))
    own = charge if event_id == event.charge else bytes.fromhex(event_id.replace("-", ""))
    charged_at, created_at = _timestamp(event.charged_at_ms), _timestamp(event.at_ms)
    return b"".join(
        (
            _first_columns(12, 16, own, 16, charge, 8, charged_at, 8, created_at, 8, event.account, 8, event.tokens),
            _shared_columns(event.feature, event.kind, event.source, event.key_prefix, event.window_start),
            NULL if event.metadata is None else _metadata(event.metadata),
        )
    )


@lru_cache(4_096)  # an account's calls have them in common
def _shared_columns(feature: str, kind: str, source: str, key_prefix: str, window_start: int) -> bytes:
    texts = [text.encode() for text in (feature, kind, source, key_prefix)]
    return b"".join(pack(">i", len(text)) + text for text in texts) + pack(">iq", 8, _timestamp(window_start * 1000))


def _metadata(metadata: dict[str, object]) -> bytes:
    text = JSONB_VERSION + json.dumps(metadata).encode()
    return pack(">i", len(text)) + text


def _timestamp(milliseconds: int) -> int:
    return (milliseconds - POSTGRES_EPOCH_MS) * 1000
