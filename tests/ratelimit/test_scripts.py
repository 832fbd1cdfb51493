"""scripts.py: every script is whole, known to the server by its own digest, and within the house's budget."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from ratelimit import scripts

ALL = [script for script in vars(scripts).values() if isinstance(script, scripts.Script)]


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)
def test_the_server_knows_it_by_the_same_digest(server: Any, script: scripts.Script) -> None:
    assert server.script_load(script.source) == script.sha.decode()


def test_every_fragment_is_short_and_says_what_it_is() -> None:
    folders = [files("ratelimit") / "lua" / name for name in ("scripts", "fragments")]
    fragments = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".lua")]
    assert len(fragments) >= len(ALL)
    for fragment in fragments:
        lines = fragment.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 60, fragment.name
        assert lines[0].startswith(f"-- {fragment.name.removesuffix('.lua')}: ")
