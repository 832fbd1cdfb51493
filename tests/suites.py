"""The four suites that can be run by name, such as `pytest -m crypto`. A test is of a suite by where it stands."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

SUITES: Final[dict[str, tuple[str, ...]]] = {
    "billing": (
        "tests/billing/api",
        "tests/billing/invoicing",
        "tests/billing/payments",
        "tests/billing/rules",
        "tests/billing/subscriptions",
        "tests/usage/api",
        "tests/usage/metering",
    ),
    "admin": (
        "tests/billing/admin",
        "tests/billing_site/admin",
        "tests/billing_site/staff_home",
        "tests/journeys/test_staff_day.py",
        "tests/usage/admin",
        "tests/usage/test_admin.py",
        "tests/usage/test_roles.py",
    ),
    "agent": (
        "tests/billing_site/agent",
        "tests/billing_site/mcp",
        "tests/journeys/test_mcp.py",
        "tests/journeys/test_openai_client.py",
        "tests/usage/api/test_budgets.py",
        "tests/usage/api/test_reservations.py",
        "tests/usage/metering/reservations",
    ),
    "crypto": (
        "tests/billing/admin/chains",
        "tests/billing/payments/chains",
        "tests/billing_site/operations/test_chains.py",
        "tests/journeys/test_paying_in_tokens.py",
    ),
}
"""Marker, and where its tests are. Also registered in pyproject.toml; docs/coverage.md shows them."""


def suites_of(path: str) -> list[str]:
    """The suites of a test file, whose path is that from the top of the checkout."""
    parts = PurePath(path).parts
    return [
        suite
        for suite, places in SUITES.items()
        if any(parts[: len(PurePath(place).parts)] == PurePath(place).parts for place in places)
    ]
