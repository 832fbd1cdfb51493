"""Two of the sandbox's endpoints as tools of the agent: functions, each charged as its feature within the call's bound.

A tool draws its tokens from the reservation of the call that uses it, so parallel tools cannot spend more than the call
may: `child` refuses what the bound does not hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

from billing.catalogue.in_memory import Catalogue
from usage.metering.reservations.in_view import ViewReservation

ASKED_BY: Final = "use tools"


class Tool(NamedTuple):
    feature: str
    run: Callable[[str], str]


def _start_trace(subject: str) -> str:
    return f"trace {hashlib.sha256(subject.encode()).hexdigest()[:8]} started."


def _count_nodes(subject: str) -> str:
    return f"{len(set(subject.split()))} nodes found."


TOOLS: Final = (Tool("trace_start", _start_trace), Tool("graph_query", _count_nodes))


def tools_for(message: str) -> tuple[Tool, ...]:
    """Those that a message asks for."""
    return TOOLS if ASKED_BY in message.lower() else ()


def cost_of(tools: tuple[Tool, ...], catalogue: Catalogue) -> int:
    """Tokens of one call of each."""
    return sum(catalogue.features[tool.feature].tokens for tool in tools)


def use(
    tools: tuple[Tool, ...], subject: str, reservation: ViewReservation, catalogue: Catalogue, run: str
) -> list[str]:
    """What each has found, as words. Raises ReservationRefused; a tool that fails costs nothing."""
    words: list[str] = []
    for tool in tools:
        tokens = catalogue.features[tool.feature].tokens
        child = reservation.child(tool.feature, tokens=tokens, run=run)
        try:
            found = tool.run(subject)
        except BaseException:
            child.release()
            raise
        child.settle(tokens=tokens)
        words += found.split()
    return words
