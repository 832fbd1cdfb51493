"""Each command that README.md and docs show is run by a test, or it is said why not: tests/documented_commands.py."""

from __future__ import annotations

import re

import pytest
from django.core.management import get_commands

from tests.documented_commands import NOT_RUN, ROOT, RUN_BY, Command, documented

COMMANDS = list(documented())
KNOWN = RUN_BY | NOT_RUN


def entry_of(command: Command) -> tuple[str, str] | None:
    found = [
        (page, beginning)
        for page, beginning in KNOWN
        if page == command.page and f"{command.text} ".startswith(beginning)
    ]
    return max(found, key=lambda entry: len(entry[1]), default=None)


def test_each_is_run_or_it_is_said_why_not() -> None:
    assert len(COMMANDS) > 30
    assert [command for command in COMMANDS if entry_of(command) is None] == []


def test_nothing_is_said_of_what_is_not_shown() -> None:
    assert KNOWN.keys() - {entry_of(command) for command in COMMANDS} == set()
    assert RUN_BY.keys() & NOT_RUN.keys() == set()


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_the_tests_that_run_them_exist(test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_commands_named_in_passing_exist() -> None:
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    named = {name for page in pages for name in re.findall(r"`manage\.py (\w+)", page.read_text())}
    assert len(named) > 15
    assert named - set(get_commands()) == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {name for page in pages for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert asked - targets == set()


@pytest.mark.parametrize(
    ("block", "commands"),
    [
        ("    make run  # it's up\n    X-Usage-Cost: 10\n", ["make run  # it's up"]),
        ("    curl -d 'a\n    b' \\\n      $X\n", ["curl -d 'a b'  $X"]),
        ("```sh\nls | \n  wc\n# nothing\n```\n", ["ls | wc"]),
        ("```python\nmake = run\n```\n", []),
    ],
)
def test_how_they_are_found(block: str, commands: list[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "README.md").write_text(block)
    monkeypatch.setattr("tests.documented_commands.ROOT", folder)
    assert [command.text for command in documented()] == commands
