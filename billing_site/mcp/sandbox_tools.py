"""Two metered tools to try things with (SANDBOX=1), and an example of how a host product adds its own."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from django.http import HttpRequest

from billing_site.mcp.tools import ToolFailed, metered_tool

ADDRESS: Final = {"type": "string", "minLength": 1, "maxLength": 200, "description": "A wallet's address."}


@metered_tool("risk_score", {"address": ADDRESS}, changes_nothing=True)
def risk_score(request: HttpRequest, address: str) -> dict[str, Any]:
    """The risk of a wallet, from 0 to 100. The sandbox makes it of the address alone."""
    return {"score": _score(address)}


@metered_tool(
    "wallet_scan",
    {"address": ADDRESS, "depth": {"type": "integer", "minimum": 1, "maximum": 5}},
    changes_nothing=True,
)
def wallet_scan(request: HttpRequest, address: str, depth: int = 1) -> dict[str, Any]:
    """How many transfers a wallet had, so many steps deep. The address "unknown" fails, and costs nothing."""
    if address == "unknown":
        raise ToolFailed("There is no wallet at this address.")
    return {"transfers": _score(address) * depth, "depth": depth}


def _score(address: str) -> int:
    return sha256(address.encode()).digest()[0] % 101
