"""Ids that sort by time: UUIDv7 (RFC 9562)."""

from __future__ import annotations

import os
import uuid
from datetime import datetime

from billing.rules.instants import to_ms


def uuid7(now: datetime) -> uuid.UUID:
    """48 bits of Unix milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (to_ms(now) << 80) | random
    value = value & ~(0xF << 76) | (0x7 << 76)
    return uuid.UUID(int=value & ~(0x3 << 62) | (0x2 << 62))
