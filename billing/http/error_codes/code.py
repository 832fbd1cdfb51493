"""What a code is explained by, and members that problems of several domains carry."""

from __future__ import annotations

from typing import Final, NamedTuple


class ErrorCode(NamedTuple):
    """A code, with the status it comes with. Texts may use Markdown's backquotes."""

    code: str
    status: int
    meaning: str
    what_to_do: str
    members: dict[str, str] = {}
    """What the problem carries beyond the common members, each with what it says."""


ERRORS_OF_FIELDS: Final = {"errors": "What is wrong with each field of the request."}
WAY_UP: Final = {
    "current_plan": "Your plan; null where you have none.",
    "suggested_plan": "The cheapest plan that would have let the call pass, or null.",
    "upgrade_url": "Where to change the plan.",
}
