"""Commands of README.md and docs, run as they are written: tests/documented_commands.py says which test runs which."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.billing_site.local.test_run import Site, site
from tests.cast import Customer
from tests.documented_commands import documented
from tests.journeys.server import CHECKOUT, Server

__all__ = ["site"]
SECONDS = 120


def shown(page: str, *beginnings: str) -> list[str]:
    """The commands of a page that begin so, each once."""
    found = [
        next(each.text for each in documented() if each.page == page and each.text.startswith(one))
        for one in beginnings
    ]
    assert len(set(found)) == len(beginnings)
    return found


def typed(script: str, address: str, **variables: str) -> str:
    """What a shell says to it. The address of the docs is that of the site, and their Python this one."""
    script = script.replace("http://127.0.0.1:8000", address).replace(".venv/bin/python", sys.executable)
    told = subprocess.run(
        ["bash", "-euc", script],
        cwd=CHECKOUT,
        env=os.environ | {"NO_PROXY": "*"} | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_a_first_call_beside_make_run(site: Site) -> None:
    """README's first block after `make run`, in another terminal: what it shows is what is answered."""
    site.start()
    script = "\n".join(shown("README.md", "KEY=$(", "curl -si", "curl -s "))
    beside = {name: value for name, value in site.env.items() if name not in os.environ} | {
        "PORT": str(site.port),
        "LOCAL_DIR": str(site.local),
        "DJANGO_SETTINGS_MODULE": "billing_site.settings",
    }
    gone = "unset DATABASE_URL REDIS_URL SECRET_KEY\n"
    told = typed(gone + script, f"http://127.0.0.1:{site.port}", **beside)
    assert told.startswith("HTTP/1.1 200 OK")
    assert "\nX-Usage-Cost: 10" in told
    assert re.search(r'^RateLimit: "minute";r=29;t=60, "quota";r=490;t=\d+', told, re.MULTILINE)
    current = json.loads(told[told.rindex('{"tokens_used"') :])
    assert (current["tokens_used"], current["tokens_remaining"], current["plan"]) == (10, 490, "starter")


@pytest.mark.django_db(transaction=True)
def test_a_reservation_and_its_end(server: Server, dave: Customer) -> None:
    """docs/agents.md; `-H …` stands for the headers of the command before."""
    reserve, settle = shown(
        "docs/agents.md",
        "curl -X POST $SITE/api/v1/usage/reservations ",
        "curl -X POST $SITE/api/v1/usage/reservations/$ID/settle",
    )
    given = {"SITE": server.url, "METER_KEY": dave.key}
    opened = json.loads(typed(reserve, server.url, **given))
    assert opened["tokens_reserved"] == 9
    headers = '-H "Authorization: Bearer $METER_KEY" -H "Content-Type: application/json"'
    ended = json.loads(typed(settle.replace("-H …", headers), server.url, ID=opened["reservation"], **given))
    assert (ended["state"], ended["tokens_charged"], ended["tokens_released"]) == ("settled", 4, 5)


@pytest.mark.django_db(transaction=True)
def test_a_chat_as_a_stream(server: Server, dave: Customer) -> None:
    (chat,) = shown("docs/agents.md", "curl -N")
    told = typed(chat, server.url, KEY=dave.key)
    events = [line.removeprefix("data: ") for line in told.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]" and len(events) > 60
