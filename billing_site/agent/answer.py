"""What both sources of answers have in common: what they may use at most, have used so far, and say that they used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from billing.rules.tokens.model_prices import Units


class AnswerFailed(Exception):
    """No answer comes, or no more of it. The sentence is for the caller and holds nothing of the source's own."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class Answer(Protocol):
    """One answer, which is asked for once: as events or whole."""

    @property
    def bound(self) -> Units:
        """What it may use at most."""

    @property
    def seen(self) -> Units:
        """What it has used so far by our own count: of what the caller has taken, no more."""

    @property
    def reported(self) -> Units | None:
        """What its source says that it has used; None as long as it has said nothing."""

    def events(self) -> Iterator[bytes]:
        """The answer as a stream of server-sent events. Raises AnswerFailed, also in the middle."""

    def whole(self) -> bytes:
        """The answer as one JSON document. Raises AnswerFailed."""
