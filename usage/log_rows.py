"""The audit log's rows in COPY's binary format, which costs PostgreSQL two thirds of what text does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from struct import Struct, pack

from usage.events import Event, minted_at_ms

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
    yield HEADER
    rows = iter(events)
    while part := list(islice(rows, ROWS_A_PART)):
        yield _rows(part)
    yield END


def _rows(part: Sequence[tuple[str, Event]]) -> bytes:
    # All ids as bytes at once; each is sixteen of them.
    own = bytes.fromhex("".join([event_id for event_id, _ in part]).replace("-", ""))
    charges = bytes.fromhex("".join([event.charge for _, event in part]).replace("-", ""))
    columns: list[bytes] = []
    at = 0
    for _, event in part:
        charge, _, account, start, _, feature, tokens, at_ms, source, key_prefix, metadata, _, _ = event
        until = at + 16
        charged_at, created_at = _timestamp(minted_at_ms(charge)), _timestamp(at_ms)
        columns += (
            _first_columns(
                12, 16, own[at:until], 16, charges[at:until], 8, charged_at, 8, created_at, 8, account, 8, tokens
            ),
            _shared_columns(feature, event.kind, source, key_prefix, start),
            NULL if metadata is None else _metadata(metadata),
        )
        at = until
    return b"".join(columns)


@lru_cache(4_096)  # an account's calls have them in common
def _shared_columns(feature: str, kind: str, source: str, key_prefix: str, window_start: int) -> bytes:
    texts = [text.encode() for text in (feature, kind, source, key_prefix)]
    return b"".join(pack(">i", len(text)) + text for text in texts) + pack(">iq", 8, _timestamp(window_start * 1000))


def _metadata(metadata: dict[str, object]) -> bytes:
    text = JSONB_VERSION + json.dumps(metadata).encode()
    return pack(">i", len(text)) + text


def _timestamp(milliseconds: int) -> int:
    return (milliseconds - POSTGRES_EPOCH_MS) * 1000
