"""The Dockerfile's steps, one by one in bare Debian trees: no Docker daemon is needed, and none was asked."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from billing_site.local.engines.process import wait_until
from tests.deploy.machine import LACKING, Machine
from tests.effort import LONG
from tests.journeys.server import CHECKOUT

pytestmark = [
    pytest.mark.skipif(not LONG, reason="minutes: TESTS=long"),
    pytest.mark.skipif(bool(LACKING), reason=LACKING),
]
DOCKERFILE = CHECKOUT / "docs" / "deploy" / "Dockerfile"


@dataclass
class Image:
    """What one stage has made: a tree, and how processes start in it."""

    machine: Machine
    folder: str = "/"
    user: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    """CMD and HEALTHCHECK."""

    def do(self, instruction: str, said: str, stages: dict[str, Image]) -> None:
        root = self.machine.root
        if instruction == "WORKDIR":
            self.folder = said
            (root / said.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction == "ENV":
            self.variables |= dict(pair.split("=", 1) for pair in shlex.split(said))
        elif instruction == "USER":
            self.user = said
        elif instruction == "RUN":
            self.machine.run(f"cd {self.folder}\n{said}", **self.variables)
        elif instruction == "COPY" and said.startswith("--from="):
            stage, source, target = said.removeprefix("--from=").split()
            shutil.copytree(stages[stage].machine.root / source[1:], root / target[1:], symlinks=True)
        elif instruction == "COPY":
            self.machine.copy_checkout(self.folder, names=(said.split(maxsplit=1)[0],))
        else:
            assert instruction in ("CMD", "HEALTHCHECK", "EXPOSE"), instruction
            self.kept[instruction] = said

    def script(self, instruction: str) -> str:
        words = json.loads(re.sub(r"^.*?\[", "[", self.kept[instruction]))
        return f"cd {self.folder}; {shlex.join(words)}"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return [(name, said.strip()) for name, said in re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE)]


def test_each_step_and_the_process(tmp_path: Path) -> None:
    stages: dict[str, Image] = {}
    image: Image | None = None
    for instruction, said in instructions():
        if instruction == "FROM":
            base, _, name = said.partition(" AS ")
            assert base == "debian:bookworm-slim"
            image = stages[name] = Image(Machine.bare(tmp_path / (name or "image")))
        else:
            assert image is not None
            image.do(instruction, said, stages)
    assert image is not None
    _serves(image)
    shutil.rmtree(tmp_path)


def _serves(image: Image) -> None:
    """As its user, with nothing but variables. There are no engines here, so it says that it is down."""
    nowhere = {"DATABASE_URL": "postgresql://a@127.0.0.1:1/a", "REDIS_URL": "redis://127.0.0.1:1/0", "SECRET_KEY": "x"}
    own = image.variables | nowhere | {"ALLOWED_HOSTS": "metered.example"}
    machine = image.machine
    with machine.on():
        machine.inside(f"({image.script('CMD')}) > /tmp/log 2>&1 &", user=image.user, **own)
        health = f"{image.script('HEALTHCHECK')} || true"
        asked = lambda: machine.inside(health, user=image.user, **own)  # noqa: E731
        wait_until(lambda: '"status": "down"' in asked(), 60, "it does not come up")
        who = machine.inside("stat --format %u /proc/[0-9]*/task | sort | uniq --count", **own)
        assert re.search(r" 10001$", who, re.MULTILINE), who
        assert (machine.root / "srv/metered/static/billing_site").is_dir()
