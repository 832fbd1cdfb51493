"""The folder in which web processes add up: counts of those that have ended stay, their files and old folders go."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from billing_site.operations.metrics_folder import PREFIX, VARIABLE, add_ended, locked, own_folder

COUNT = """
import sys
from prometheus_client import Counter, Histogram
counter = Counter("metered_tests", "Tests.", ["of"])
counter.labels(sys.argv[1]).inc(int(sys.argv[2]))
Histogram("metered_test_seconds", "Seconds.", buckets=(1, 2)).observe(int(sys.argv[2]))
"""
READ = """
import os
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", code, *arguments]
    return subprocess.run(argv, env=os.environ | {VARIABLE: str(folder)}, capture_output=True, text=True, check=True)


def counted(folder: Path) -> list[str]:
    return sorted(line for line in run(folder, READ).stdout.splitlines() if not line.startswith("#") and line)


def pids(folder: Path) -> set[int]:
    found = (path.stem.split("_")[-1] for path in folder.glob("*.db"))
    return {int(pid) for pid in found if pid.isdigit()}


def test_what_an_ended_process_has_counted_stays_and_its_files_go(tmp_path: Path) -> None:
    for of, number in (("a", "1"), ("b", "2"), ("a", "3")):
        run(tmp_path, COUNT, of, number)
        before, ended = counted(tmp_path), pids(tmp_path)
        assert len(ended) == 1
        add_ended(str(tmp_path), ended)
        assert (counted(tmp_path), ended) == (before, set())
    assert 'metered_tests_total{of="a"} 4.0' in before and 'metered_test_seconds_bucket{le="2.0"} 2.0' in before
    assert {path.name for path in tmp_path.glob("*.db")} == {"counter_ended.db", "histogram_ended.db"}


def test_while_somebody_reads_it_is_left_for_the_next_time(tmp_path: Path) -> None:
    run(tmp_path, COUNT, "a", "1")
    ended = pids(tmp_path)
    with locked(str(tmp_path), fcntl.LOCK_SH):
        add_ended(str(tmp_path), ended)
        assert ended == pids(tmp_path) != set()
    add_ended(str(tmp_path), ended)
    assert ended == pids(tmp_path) == set()


def test_folders_that_nobody_uses_any_more_go(tmp_path: Path) -> None:
    make = f"from billing_site.operations.metrics_folder import own_folder; print(own_folder({str(tmp_path)!r}))"
    abandoned = Path(run(tmp_path, make).stdout.strip())
    (tmp_path / "not-ours").mkdir()
    assert abandoned.is_dir() and abandoned.name.startswith(PREFIX)
    first = Path(own_folder(str(tmp_path)))
    second = Path(own_folder(str(tmp_path)))
    assert {path.name for path in tmp_path.iterdir()} == {first.name, second.name, "not-ours"}


def test_the_client_library_is_not_imported_before_the_folder_is_set() -> None:
    code = "import sys, billing_site.operations.metrics_folder; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
