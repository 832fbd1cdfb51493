"""Not measured yet."""

from __future__ import annotations

from tests.bench import Row

TITLE = "served"


def run(*, quick: bool) -> list[Row]:
    return []
