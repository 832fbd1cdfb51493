"""The audit log's rows in COPY's binary format, which costs PostgreSQL two thirds of what text does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct, pack

from usage.events import CHARGE, Event, minted_all_at_ms

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
# The number of columns; then for each of the first six its length in bytes and its value.
_first_columns = Struct(">h i16s i16s iq iq iq iq").pack
_each_id = Struct("16s").iter_unpack


def encoded(events: Sequence[Event]) -> bytes:
    """Their rows in `COPY usage_usagelog (COLUMNS) FROM STDIN (FORMAT binary)`, between HEADER and END."""
    ids = [event.charge for event in events]
    charges = _each_id(bytes.fromhex("".join(ids).replace("-", "")))
    rows = zip(events, charges, minted_all_at_ms(ids), strict=True)
    return b"".join([_row(event, charge, charged_at_ms) for event, (charge,), charged_at_ms in rows])


def _row(event: Event, charge: bytes, charged_at_ms: int) -> bytes:
    _, kind, account, window_start, _, feature, tokens, at_ms, source, key_prefix, metadata, _, _ = event
    own = charge if kind == CHARGE else event.id.bytes
    charged_at, created_at = _timestamp(charged_at_ms), _timestamp(at_ms)
    row = _first_columns(12, 16, own, 16, charge, 8, charged_at, 8, created_at, 8, account, 8, tokens)
    row += _shared_columns(feature, kind, source, key_prefix, window_start)
    return row + (NULL if metadata is None else _metadata(metadata))


@lru_cache(4_096)  # an account's calls have them in common
def _shared_columns(feature: str, kind: str, source: str, key_prefix: str, window_start: int) -> bytes:
    texts = [text.encode() for text in (feature, kind, source, key_prefix)]
    return b"".join(pack(">i", len(text)) + text for text in texts) + pack(">iq", 8, _timestamp(window_start * 1000))


def _metadata(metadata: dict[str, object]) -> bytes:
    text = JSONB_VERSION + json.dumps(metadata).encode()
    return pack(">i", len(text)) + text


def _timestamp(milliseconds: int) -> int:
    return (milliseconds - POSTGRES_EPOCH_MS) * 1000
