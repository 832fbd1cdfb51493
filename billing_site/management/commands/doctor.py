"""manage.py doctor: look at all that this site needs, and say what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing_site.operations.doctor import Finding, State, examine
from billing_site.operations.doctor.examination import SECONDS


class Command(BaseCommand):
    help = "Look at all that this site needs, one line each: ok, warn or fail, and what to do. Exit code 1: one failed."
    requires_system_checks = []  # wrong settings are one of its lines

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as one JSON object")
        parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings, too")
        parser.add_argument(
            "--seconds", type=float, default=SECONDS, help="how long engines, and then the rest, are waited for"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = examine(options["seconds"])
        states = {finding.state for finding in found}
        worst = next(state for state in (State.FAIL, State.WARN, State.OK) if state in states)
        if options["json"]:
            self.stdout.write(json.dumps({"status": worst, "findings": [asdict(one) for one in found]}, indent=1))
        else:
            for one in found:
                self.stdout.write(self._line(one))
        if worst == State.FAIL or (options["strict"] and worst == State.WARN):
            raise SystemExit(1)

    def _line(self, finding: Finding) -> str:
        style = {State.OK: self.style.SUCCESS, State.WARN: self.style.WARNING, State.FAIL: self.style.ERROR}
        said = f"{finding.subject:<11}{finding.says.rstrip('.')}. {finding.do}".rstrip(". ")
        return f"{style[finding.state](f'{finding.state:<5}')}{said}."
