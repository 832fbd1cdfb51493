"""A newcomer's path: every block of docs/operate.md, from an empty Debian tree to a charged call over HTTPS."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
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
PAGE = CHECKOUT / "docs" / "operate.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_THE_NETWORK = ("apt-get", "pip install")
HERE = Path(__file__).parent


def test_from_an_empty_server_to_a_charged_call(tmp_path: Path) -> None:
    began = time.monotonic()
    machine = Machine.bare(tmp_path / "debian")
    try:
        made = time.monotonic()
        _follow(machine, BLOCK.findall(PAGE.read_text()))
        print(f"a bare Debian tree {made - began:.0f} s, from there to the first call {time.monotonic() - made:.0f} s")
    except AssertionError:
        for log in (machine.root / "var/log").glob("metered-*.log"):
            print(log.name, log.read_text()[-2000:], sep="\n")
        raise
    finally:
        shutil.rmtree(machine.root)


def _follow(machine: Machine, blocks: list[str]) -> None:
    online = [block for block in blocks if any(word in block for word in WITH_THE_NETWORK)]
    assert online == blocks[: len(online)], "what needs the network comes first"
    machine.copy_checkout("/srv/metered")
    for block in online:
        machine.run(block)
    shutil.copy(HERE / "systemctl", machine.root / "usr/local/bin/systemctl")
    (machine.root / "etc/hosts").write_text("127.0.0.1 localhost metered.example\n")
    (machine.root / "usr/sbin/policy-rc.d").unlink()
    *rest, first_call = blocks[len(online) :]
    with machine.on():
        machine.inside("service postgresql start")  # as Debian's packages do where there is systemd
        for block in rest:
            if "metered doctor" in block:
                _wait_for_traces(machine)
            said = machine.inside(block, given="correct-horse-9\n" if "read -rs" in block else "")
        _is_well(said)
        script = (HERE / "newcomer.py").read_text()
        key = machine.inside("/srv/metered/.venv/bin/python - https://metered.example", given=script)
        answer = machine.inside(first_call, KEY=key.strip())
        _is_charged(answer)
        _is_in_the_log(machine)
        _is_well(machine.inside("metered doctor"))


def _wait_for_traces(machine: Machine) -> None:
    """A newcomer's own seconds, until beat and a worker have been seen."""
    wait_until(lambda: '"ok"' in _finding(machine, "beat"), 60, "beat is not seen")


def _finding(machine: Machine, subject: str) -> str:
    found = json.loads(machine.inside("metered doctor --json"))["findings"]
    return json.dumps([one["state"] for one in found if one["subject"] == subject])


def _is_well(said: str) -> None:
    """Nothing fails, and what is not well yet is what the page says."""
    states = {line.split()[1]: line.split()[0] for line in said.splitlines()}
    unwell = {subject for subject, state in states.items() if state != "ok"}
    assert "fail" not in states.values() and unwell == {"open", "mail"}, said


def _is_charged(answer: str) -> None:
    head = answer.lower()
    assert head.startswith("http/1.1 200") and "x-usage-cost: 10\n" in head.replace("\r", ""), answer
    for header in ("strict-transport-security: max-age=31536000", "ratelimit: ", "x-content-type-options: nosniff"):
        assert header in head, answer


def _is_in_the_log(machine: Machine) -> None:
    question = "runuser -u postgres -- psql -tAc 'SELECT count(*), sum(tokens) FROM usage_usagelog' metered"
    asked: Callable[[], str] = lambda: machine.inside(question).strip()  # noqa: E731
    wait_until(lambda: asked() == "1|10", 30, "the drain brings nothing")
