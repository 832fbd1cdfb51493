"""Benchmarks: each figure is a ratio to something measured in the same run, since machines differ.

    python -m tests.programs.bench [--quick] [SECTION ...]        (make bench, make bench-quick)

A section is a module with a docstring, which becomes the text above its table, a `TITLE`, and

    def run(*, quick: bool) -> list[Row]

entered in `sections.SECTIONS`; with a `CHART` (a file name), `draw(rows)` returns its SVG. The runner gives each
section a process of its own: private engines started empty, Django set up on this package's `settings`, every table
migrated and the default catalogue seeded (`stage`). It may change the settings' URLs for processes it starts, fill the
database, flush Redis: nothing outlives it. What it starts besides, it stops in a `finally`; children started by
`billing_site.local.engines.process.spawn` also die with it. It reports progress with `stage.say`.
`quick`: under a minute in all, on fewer rounds or a smaller population; quick runs are printed and never written down.
"""

from __future__ import annotations

from typing import NamedTuple


class Skipped(Exception):
    """Raised by a section that cannot run here; the message says why and what to do. Its part of the page stays."""


class Row(NamedTuple):
    """One line of a section's table.

    `value` in `unit` is what was measured. A row that has a goal carries it as text (`"≤ 1.2 × the bare EVALSHA"`), the
    measured `ratio` that it is about (None where it is about `value` itself) and whether it was met.
    A `note` says what the reader has to know beside it, such as the spread.
    """

    name: str
    value: float
    unit: str
    goal: str = ""
    ratio: float | None = None
    passed: bool | None = None
    note: str = ""


def _times(factor: float) -> str:
    return f"1/{1 / factor:.0f}" if factor < 0.4 else f"{factor:g}"


def at_most(name: str, value: float, unit: str, *, times: float, of: float, what: str, note: str = "") -> Row:
    """A row whose goal is `value <= times x of`."""
    ratio = value / of
    return Row(name, value, unit, f"≤ {_times(times)} × {what}", ratio, ratio <= times, note)


def at_least(name: str, value: float, unit: str, *, times: float, of: float, what: str, note: str = "") -> Row:
    """A row whose goal is `value >= times x of`."""
    ratio = value / of
    return Row(name, value, unit, f"≥ {_times(times)} × {what}", ratio, ratio >= times, note)
