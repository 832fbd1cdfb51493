"""An event as it was reported, and why one is not recorded. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

LONGEST_NAME = 255
"""Of a sender's id for an event, and of the source that it is unique in; in characters."""
LARGEST_ACCOUNT = 2**63 - 1

Name = tuple[int, str, str]
"""What an event is known by: account, source, id."""


class Reported(NamedTuple):
    """Usage of an account at an instant, in Unix milliseconds. `id` is the sender's, unique in its source."""

    account: int
    source: str
    id: str
    feature: str
    at_ms: int
    metadata: Mapping[str, Any] | None = None

    @property
    def name(self) -> Name:
        return self.account, self.source, self.id


class Reason(StrEnum):
    """Why an event is not recorded."""

    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_FEATURE = "unknown_feature"
    TOO_OLD = "too_old"
    MONTH_CLOSED = "month_closed"
    IN_FUTURE = "in_future"


class Ingested(NamedTuple):
    """What became of a batch. `rejected` are places in it; `over_quota` are accounts of it."""

    accepted: int
    duplicates: int
    rejected: dict[int, Reason]
    over_quota: list[int]
