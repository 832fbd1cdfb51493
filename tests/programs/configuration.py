"""docs/configuration.md: every environment variable, as the settings read them.

python -m tests.programs.configuration           write it
python -m tests.programs.configuration --check   exit code 1 where it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path

from django.conf import settings

from billing_site.environment.group import MOST
from billing_site.environment.known import Variable, variables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
HEAD = """# Configuration

Everything that a deployment decides is an environment variable. A value that makes no sense is refused at the start, by
every command and every process, with the variable's name; one that is set to nothing is unset; one that nobody reads
and that looks like one of these (`ALLOWED_HOST`) is a warning. All processes of a site get the same ones.

Made by `python -m tests.programs.configuration` from `billing_site/variables/`, where each is read.
"""
ORDER = (
    "The site",
    "Proxy and HTTPS",
    "PostgreSQL",
    "Redis, cache, broker",
    "Web server",
    "Mails",
    "Log and metrics",
    "Calls and API keys",
    "Usage log and outbox",
    "Billing",
    "Cards",
    "Stablecoins",
)
"""Of groups; others follow."""


def page() -> str:
    _ = settings.DEBUG  # loads them, and with them every variable
    place = {title: number for number, title in enumerate(ORDER)}
    found = sorted(variables.values(), key=lambda variable: (place.get(variable.group, len(place)), variable.group))
    groups = (_group(title, list(members)) for title, members in groupby(found, lambda variable: variable.group))
    return "\n".join([HEAD, *groups])


def _group(title: str, members: list[Variable]) -> str:
    rows = [f"| `{one.name}` | {_unset(one)} | {_takes(one)} | {one.meaning} |" for one in members]
    return "\n".join([f"## {title}", "", "| variable | unset | it is | meaning |", "|---|---|---|---|", *rows, ""])


def _unset(variable: Variable) -> str:
    return variable.unset or (f"`{variable.default}`" if variable.default else "")


def _takes(variable: Variable) -> str:
    return variable.takes.removesuffix(f" to {MOST}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return int(not PAGE.exists() or PAGE.read_text() != page())
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "billing_site.settings"
    os.environ.setdefault("SECRET_KEY", "any")
    sys.exit(main())
