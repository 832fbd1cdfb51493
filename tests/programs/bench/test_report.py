"""The benchmarks' page: tables come and go between their marks, what is written by hand stays."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.programs.bench import Row, at_least, at_most, chart, report
from tests.programs.bench.report import Result

FAST = at_most("ours", 10, "µs", times=0.5, of=20, what="theirs")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "performance.md"
    path.write_text("# Performance\n\nBy hand.\n")
    monkeypatch.setattr(report, "PAGE", path)
    return path


def result(*rows: Row) -> Result:
    return Result("Hot path", "What it is about.", list(rows), 0.5, {})


def test_a_section_is_replaced_and_nothing_else_is(page: Path) -> None:
    report.write("one", result(Row("first figure", 1, "µs")))
    report.write("two", result(Row("other figure", 2, "µs")))
    report.write("one", result(Row(r"second \1 figure", 3, "µs")))
    text = page.read_text()
    assert text.startswith("# Performance\n\nBy hand.\n")
    assert "first figure" not in text
    assert text.index(r"second \1 figure") < text.index("other figure")
    assert text.count("<!-- bench: one -->") == text.count("<!-- end: one -->") == 1


def test_a_chart_is_written_beside_the_page(page: Path) -> None:
    svg = chart.bars("What <each> adds", {"theirs & co": 20.0, "ours": 10.0}, "ours")
    report.write("one", result(FAST)._replace(chart={"one.svg": svg}))
    drawn = ElementTree.fromstring(page.with_name("one.svg").read_text())
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["What <each> adds", "ours", "10", "theirs & co", "20"]
    assert "![Hot path](one.svg)" in page.read_text()


@pytest.mark.parametrize(("value", "met"), [(9.9, True), (10, True), (10.1, False)])
def test_at_most_is_met_up_to_its_bound(value: float, met: bool) -> None:
    row = at_most("ours", value, "µs", times=1 / 3, of=30, what="theirs")
    assert (row.goal, row.passed) == ("≤ 1/3 × theirs", met)
    assert ("**missed**" in report.table(result(row))) is not met


@pytest.mark.parametrize(("value", "met"), [(6.9, False), (7, True), (7.1, True)])
def test_at_least_is_met_from_its_bound(value: float, met: bool) -> None:
    row = at_least("ours", value, "requests/s", times=0.7, of=10, what="theirs")
    assert (row.goal, row.passed) == ("≥ 0.7 × theirs", met)
