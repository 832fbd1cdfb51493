"""Instants as whole numbers since 1970: milliseconds and seconds, as Redis and the audit events have them."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECOND: Final = timedelta(seconds=1)


def to_ms(at: datetime) -> int:
    """Unix milliseconds of an aware datetime, rounded down: what holds until then never holds longer."""
    return (at - EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The instant in UTC. Raises OverflowError beyond the year 9999."""
    return EPOCH + milliseconds * _MILLISECOND


def to_seconds(at: datetime) -> int:
    """Unix seconds of an aware datetime, rounded down."""
    return (at - EPOCH) // _SECOND


def from_seconds(seconds: int) -> datetime:
    """The instant in UTC. Raises OverflowError beyond the year 9999."""
    return EPOCH + seconds * _SECOND
