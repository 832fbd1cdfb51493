"""Ids of system checks: who silences one silences that alone."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIVEN = re.compile(r'\bid="(\w+\.[EW]\d{3})"')


def test_an_id_is_one_modules() -> None:
    modules: dict[str, set[str]] = defaultdict(set)
    for package in ("billing", "billing_site", "ratelimit", "usage"):
        for path in (ROOT / package).rglob("*.py"):
            for found in GIVEN.findall(path.read_text()):
                modules[found].add(str(path.relative_to(ROOT)))
    assert len(modules) > 20
    assert {found: where for found, where in modules.items() if len(where) > 1} == {}
