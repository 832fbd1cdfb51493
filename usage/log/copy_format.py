"""The audit log's rows in COPY's binary format, which costs PostgreSQL two thirds of what text does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, repeat
from struct import Struct, pack

from usage.log.batch import EventBatch
from usage.log.events import CHARGE

COLUMNS = (
    "id, event_id, charged_at, created_at, account_id, tokens, window_starts_at, feature, kind,"
    " source, key_prefix, metadata"
)
HEADER = b"PGCOPY\n\xff\r\n\0" + pack(">ii", 0, 0)
END = pack(">h", -1)
NULL = pack(">i", -1)
JSONB_VERSION = b"\x01"
POSTGRES_EPOCH_MS = 946_684_800_000
"""2000-01-01: timestamps are microseconds since then."""
# The number of columns; then for each of the first seven its length in bytes and its value.
COUNT, LENGTHS = repeat(12), [repeat(length) for length in (16, 16, 8, 8, 8, 8, 8)]
_first_columns = Struct(">h i16s i16s iq iq iq iq iq").pack
_length = Struct(">i").pack
_each_id = Struct("16s").iter_unpack


def encoded(batch: EventBatch) -> bytes:
    """Their rows in `COPY usage_usagelog (COLUMNS) FROM STDIN (FORMAT binary)`, between HEADER and END."""
    # Column by column, in C: half of what a call for each row takes.
    charges = [charge for (charge,) in _each_id(batch.ids)]
    own = charges if {*batch.kinds} <= {CHARGE} else [event.id.bytes for event in batch]
    charged_at, created_at = _timestamps(batch.charged_at_ms), _timestamps(batch.at_ms)
    window_starts = _timestamps([start * 1000 for start in batch.window_starts])
    values = (own, charges, charged_at, created_at, batch.accounts, batch.tokens, window_starts)
    firsts = map(_first_columns, COUNT, *chain.from_iterable(zip(LENGTHS, values, strict=True)))
    shared = map(_shared_columns, batch.features, batch.kinds, batch.sources)
    prefixes = [*map(str.encode, batch.key_prefixes)]
    lengths = map(_length, map(len, prefixes))
    lasts = [NULL if each is None else _metadata(each) for each in batch.metadata]
    return b"".join(chain.from_iterable(zip(firsts, shared, lengths, prefixes, lasts, strict=True)))


@lru_cache(4_096)  # events of all accounts have them in common
def _shared_columns(*texts: str) -> bytes:
    written = [text.encode() for text in texts]
    return b"".join(_length(len(text)) + text for text in written)


def _metadata(metadata: dict[str, object]) -> bytes:
    text = JSONB_VERSION + json.dumps(metadata).encode()
    return _length(len(text)) + text


def _timestamps(milliseconds: Iterable[int]) -> list[int]:
    return [(each - POSTGRES_EPOCH_MS) * 1000 for each in milliseconds]
