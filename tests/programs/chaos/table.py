"""The table of results: printed line by line, and written into the documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.programs.chaos.evidence import Verdict

START, END = "<!-- make chaos writes from here -->", "<!-- to here -->"
COLUMNS = (
    "experiment",
    "requests",
    "5xx",
    "no answer",
    "lost",
    "duplicated",
    "overshoot",
    "p99 ms",
    "recovery s",
    "outages",
    "result",
)
WIDTHS = (22, 8, 5, 9, 5, 10, 9, 7, 10, 7, 6)


class Result(NamedTuple):
    """One experiment's outcome; without a verdict, `why` it could not be made."""

    name: str
    what: str
    verdict: Verdict | None
    why: str = ""


def heading() -> str:
    return "  ".join(f"{name:<{width}}" for name, width in zip(COLUMNS, WIDTHS, strict=True)).rstrip()


def line(result: Result) -> str:
    cells = zip(_cells(result), WIDTHS, strict=True)
    return "  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip() + (f": {result.why}" if result.why else "")


def document(path: Path, results: list[Result], seed: int, histories: int, simulated: bool) -> None:
    """Replace what stands between the two marks. Raises ValueError where they are missing."""
    before, start, rest = path.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{path} has lost the marks between which the table stands")
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_cells(result) for result in results)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    said = f"Written by `python -m tests.programs.chaos` on {datetime.now(UTC):%Y-%m-%d}, seed {seed}."
    notes = [f"`{result.name}` was not made: {result.why}." for result in results if result.why]
    if histories:
        held = "every law held" if simulated else "a law was broken"
        notes.append(f"Simulated histories, from the same seed on: {histories}; {held}.")
    path.write_text("\n".join([f"{before}{START}", said, *notes, "", table, f"{END}{after}"]))


def _cells(result: Result) -> tuple[str, ...]:
    seen = result.verdict
    if seen is None:
        return (result.name, *("–" for _ in COLUMNS[2:]), "not made")
    counts = (seen.requests, seen.errors, seen.unanswered, seen.lost, seen.duplicated, seen.overshoot)
    end = "pass" if seen.passed else "FAIL"
    return (
        result.name,
        *map(str, counts),
        f"{seen.p99_ms:.0f}",
        f"{seen.recovery_seconds:.1f}",
        str(seen.outages),
        end,
    )
