"""What metadata an event may carry that somebody else has written."""

from __future__ import annotations

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
    return f"At most {LARGEST_METADATA} bytes of JSON; these are {size}." if size > LARGEST_METADATA else ""
