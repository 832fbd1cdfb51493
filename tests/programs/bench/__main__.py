"""The command line: run sections, each in a process of its own, print their tables and write the report."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.programs.bench import Row, Skipped, report, stage
from tests.programs.bench.sections import AWAY_US, PINNED, QUICK, SECTIONS, SETTINGS


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _leave)
    if options.into:
        _run_section(options.sections[0], quick=options.quick, into=Path(options.into))
        return 0
    names = options.sections or list(QUICK if options.quick else SECTIONS)
    missed = False
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        result = _in_a_process(name, quick=options.quick)
        if isinstance(result, Skipped):
            print(f"{name} was left out: {result}", flush=True)
            continue
        print(report.table(result), flush=True)
        missed = missed or any(row.passed is False for row in result.rows)
        if not options.quick:
            report.write(name, result)
    return 1 if missed and options.strict else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of: {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; prints only, writes no report")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return options


def _in_a_process(name: str, *, quick: bool) -> report.Result | Skipped:
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "rows.json"
        argv = [
            sys.executable,
            "-m",
            "tests.programs.bench",
            name,
            "--into",
            str(into),
            *(["--quick"] if quick else []),
        ]
        load = os.getloadavg()[0]
        # In a session of its own, Ctrl-C reaches this process alone, which asks the child to clear up, once.
        child = subprocess.Popen(argv, start_new_session=True)
        try:
            code = child.wait()
        finally:
            child.terminate()
            child.wait()
        if code:
            raise SystemExit(f"section {name} ended with code {code}")
        found = json.loads(into.read_text())
    if "skipped" in found:
        return Skipped(found["skipped"])
    return report.Result(found["title"], found["about"], [Row(*row) for row in found["rows"]], load, found["chart"])


def _run_section(name: str, *, quick: bool, into: Path) -> None:
    stage.prepare(
        SETTINGS.get(name, "tests.programs.bench.settings"), pinned=name in PINNED, away_us=AWAY_US.get(name, 0)
    )
    section = import_module(SECTIONS[name])
    try:
        rows = section.run(quick=quick)
    except Skipped as reason:
        into.write_text(json.dumps({"skipped": str(reason)}))
        return
    chart = {section.CHART: section.draw(rows)} if hasattr(section, "CHART") else {}
    about = " ".join((section.__doc__ or "").split())
    into.write_text(json.dumps({"title": section.TITLE, "about": about, "rows": rows, "chart": chart}))


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
