"""What metadata an event may carry that somebody else has written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from usage.log.events import DEEPEST_METADATA, RUN_NAMED, storable_size

LARGEST_METADATA = 4096


def fault_of(value: Any) -> str:
    """What is wrong with it, in a sentence; "" where nothing is."""
    if not isinstance(value, dict):
        return "Give a JSON object."
    if RUN_NAMED in value:
        return f"The member {RUN_NAMED} is ours: give `run`, beside the metadata."
    if (size := storable_size(value)) is None:
        return f"Give valid Unicode without the character NUL, and at most {DEEPEST_METADATA} levels of nesting."
    size += (more := _written_out(value))
    if size <= LARGEST_METADATA:
        return ""
    digits = ", with all digits of its numbers" if more else ""
    return f"At most {LARGEST_METADATA} bytes of JSON{digits}; these are {size}."


def _written_out(value: Any) -> int:
    """How many bytes longer it is as PostgreSQL keeps and gives it, where 1e300 has all of its 301 digits."""
    if isinstance(value, float):
        return len(f"{Decimal(repr(value)):f}") - len(repr(value))
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_written_out, value)) if isinstance(value, list) else 0
