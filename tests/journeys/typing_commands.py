"""Who types the commands of a page of the docs, as they stand there, beside a site; and what a customer sees then."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cast import Customer
from tests.journeys.server import CHECKOUT, environment, running

SEEN = ("usage/current", "usage/breakdown", "billing/subscription", "billing/invoices", "usage/logs")


def commands(page: str, heading: str) -> list[str]:
    """The lines of a section of docs/ that are to be typed."""
    text = (CHECKOUT / "docs" / page).read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


@dataclass
class Site:
    """A database and a Redis; what is typed leaves its files in `folder`, and finds programs in `path` first."""

    database: str
    redis: str
    folder: Path
    path: str = ""

    def type(self, lines: list[str], **variables: str) -> str:
        """AssertionError with what was said at the first line that fails."""
        own = environment(self.database) | {"REDIS_URL": self.redis} | variables
        own["PATH"] = os.pathsep.join(filter(None, (self.path, str(self._manage()), own["PATH"])))
        argv = ["sh", "-eu", "-c", "\n".join(lines)]
        done = subprocess.run(argv, cwd=self.folder, env=own, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{lines}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        return done.stdout

    def _manage(self) -> Path:
        program = self.folder / "bin" / "manage.py"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT}/manage.py "$@"\n')
        program.chmod(0o755)
        return program.parent

    def seen_by(self, customer: Customer) -> dict[str, Any]:
        """What the customer is told over HTTP, by path."""
        with running(self.database, REDIS_URL=self.redis) as server, server.session(customer.key) as session:
            told = {path: session.get(f"{server.url}/api/v1/{path}", timeout=60) for path in SEEN}
            assert {path: answer.status_code for path, answer in told.items() if answer.status_code != 200} == {}
            return {path: answer.json() for path, answer in told.items()}
