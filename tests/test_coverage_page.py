"""docs/coverage.md: its links lead somewhere, its suites are as large as it says, its endpoints and commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.core.management import get_commands

from billing_site.openapi.document import document
from tests.suites import SUITES, suites_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "coverage.md"
TEXT = PAGE.read_text()
OF_THIS_RUN = ("PYTEST_", "METERED_TEST_RUN", "DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL")
ROWS = [line.split("|")[1:-1] for line in TEXT.splitlines() if line.startswith("| ")]


def test_every_link_leads_to_a_file_of_ours() -> None:
    links = re.findall(r"\]\(([^)#]+)", TEXT)
    assert len(links) > 60
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_every_row_names_code_and_tests() -> None:
    rows = [row for row in ROWS if len(row) == 5 and "asked" not in row[0]]
    assert len(rows) >= 25
    for asked, where, code, tests, beyond in rows:
        assert where.strip() and beyond.strip(), asked
        assert re.findall(r"\]\(", code), asked
        linked = re.findall(r"\]\(\.\./(tests/[^)]+)", tests)
        assert linked, asked
        for path in linked:
            assert "def test_" in (ROOT / path).read_text(), path


def test_what_it_names_exists() -> None:
    for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/api/v1/[^`]*)`", TEXT):
        assert method.lower() in document()["paths"][path], (method, path)
    for command in re.findall(r"manage\.py (\w+)", TEXT):
        assert command in get_commands(), command


def collected(suite: str, *places: str) -> list[str]:
    """The cases that pytest finds there by the marker, in a run of its own; none is run."""
    options = ("-n", "0", "-q", "--collect-only", "-p", "no:randomly", "-m", suite)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_THIS_RUN)}
    command = [sys.executable, "-m", "pytest", *options, *places]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if "::" in line]


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest) -> Counter[str]:
    """Of each suite: of those that this run has collected, where it has all of them."""
    places = sorted({place for its in SUITES.values() for place in its})
    names = [item.nodeid for item in request.session.items]
    if not all(any(name.startswith(place) for name in names) for place in places):
        names = collected(" or ".join(SUITES), *places)
    return Counter(suite for name in names for suite in suites_of(name.partition("::")[0]))


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_as_large_as_it_says(suite: str, cases: Counter[str]) -> None:
    ((_, asked, least),) = [row for row in ROWS if row[0].strip() == suite]
    assert int(asked) <= int(least) <= cases[suite]


def test_a_marker_chooses_its_suite_alone() -> None:
    place = "tests/billing/admin"
    chosen = {line.partition("::")[0] for line in collected("crypto", place)}
    assert chosen and all(path.startswith(f"{place}/chains/") for path in chosen)


def test_every_place_of_a_suite_exists() -> None:
    assert [place for its in SUITES.values() for place in its if not (ROOT / place).exists()] == []
