"""Tables of results: printed, and written into docs/performance.md between the marks of their section."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.programs.bench import Row

PAGE = Path(__file__).resolve().parents[3] / "docs" / "performance.md"


class Result(NamedTuple):
    """One section's rows, what they are about, the machine's load average when it began, and a chart's name and SVG."""

    title: str
    about: str
    rows: list[Row]
    load: float
    chart: dict[str, str]


def table(result: Result) -> str:
    """The rows as a table of plain text, which is Markdown, too."""
    cells = [("", "measured", "", "ratio", "goal", "")] + [_cells(row) for row in result.rows]
    widths = [max(len(line[i]) for line in cells) for i in range(6)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    charts = [line for name in result.chart for line in (f"![{result.title}]({name})", "")]
    return "\n".join([f"## {result.title}", "", result.about, "", *charts, *lines, ""])


def _cells(row: Row) -> tuple[str, ...]:
    passed = {None: "", True: "met", False: "**missed**"}[row.passed]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}" if row.ratio >= 0.1 else f"{row.ratio:.3f}"
    return row.name, f"{_figure(row.value)} {row.unit}", row.note, ratio, row.goal, passed


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def write(name: str, result: Result) -> None:
    """Replace the section's part of the page; the text outside of the marks is written by hand."""
    begin, end = f"<!-- bench: {name} -->", f"<!-- end: {name} -->"
    part = f"{begin}\n{table(result)}\n{_machine(result)}\n{end}"
    page = PAGE.read_text() if PAGE.exists() else ""
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: part, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip()}\n\n{part}\n".lstrip()
    PAGE.write_text(page)
    for chart, text in result.chart.items():
        PAGE.with_name(chart).write_text(text)


def _machine(result: Result) -> str:
    day = datetime.now(UTC).date().isoformat()
    python = platform.python_version()
    return f"Measured on {day}: {os.cpu_count()} cores, Python {python}, load average {result.load:.1f} at the start.\n"
