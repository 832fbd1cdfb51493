"""docs/webhooks.md: its receivers take real messages and refuse forged ones, and its tables say what the code does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.conf import settings

from billing.models import ApiKey
from billing.webhooks import endpoints, schedule, sender
from billing.webhooks.types import TYPES
from tests.billing.waiting import until
from tests.billing.webhooks.telling import listen, told, try_next
from tests.cast import Customer
from tests.ports import free_port
from tests.schema import CheckedClient

pytestmark = pytest.mark.django_db
DOCS = Path(settings.BASE_DIR) / "docs"
LIBRARY = Path(settings.BASE_DIR) / "tests" / "servers" / "webhooks" / "node_modules"
PAGE = (DOCS / "webhooks.md").read_text()


def command_for(name: str, folder: Path) -> list[str]:
    if name.endswith(".py"):
        return [sys.executable, str(DOCS / "webhooks" / name)]
    if shutil.which("node") is None or not LIBRARY.exists():
        pytest.skip("no node, or no library: run `npm ci --ignore-scripts` in tests/servers/webhooks")
    shutil.copy(DOCS / "webhooks" / name, folder)
    (folder / "node_modules").symlink_to(LIBRARY)  # as after `npm install standardwebhooks` beside it
    return ["node", str(folder / name)]


@contextmanager
def receiving(name: str, folder: Path, port: int, secret: str) -> Iterator[Path]:
    """What the receiver prints."""
    out = folder / "printed"
    with out.open("w") as printed:
        given = os.environ | {"PORT": str(port), "WEBHOOK_SECRET": secret}
        process = subprocess.Popen(command_for(name, folder), env=given, stdout=printed)
    try:
        until(lambda: listens(port))
        yield out
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    try:
        urlopen(Request(f"http://127.0.0.1:{port}/", b"{}", method="POST"))
    except HTTPError:
        return True  # it refuses what is not signed
    except OSError:
        return False
    return False


@pytest.mark.parametrize("name", ["receiver.py", "receiver.mjs"])
def test_the_receiver_takes_ours_once_and_nothing_forged(bob: Customer, tmp_path: Path, name: str) -> None:
    port = free_port()
    new = listen(bob.account, f"http://127.0.0.1:{port}/")
    old_secret = new.secret
    new = endpoints.rotate(bob.account, new.endpoint.pk, new.endpoint.created_at)
    for secret in (old_secret, new.secret):  # both verify while they overlap
        with receiving(name, tmp_path, port, secret) as printed:
            delivery = told(bob.account)
            answer = try_next()
            assert answer is not None and answer.status == 204, answer
            endpoints.send_again(bob.account, new.endpoint.pk, delivery.pk, delivery.created_at)
            again = try_next()
            assert again is not None and again.status == 204
            (line,) = printed.read_text().splitlines()
            assert line.startswith("api_key.created ")
        (tmp_path / "node_modules").unlink(missing_ok=True)


def test_the_documented_requests_do_what_it_says(bob: Customer) -> None:
    _, key = ApiKey.issue(account=bob.user, name="deploy", scope="manage")
    api = CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
    body = re.search(r"-d '(\{.*?\})'", PAGE)
    assert body is not None
    at_home = body[1].replace("https://example.com/hooks/billing", "http://127.0.0.1:9000/")
    made = api.post("/api/v1/webhooks", at_home, content_type="application/json")
    assert made.status_code == 201, made.content
    for method, path in re.findall(r"curl (?:-X (\w+) )?\$BASE(/api/v1/webhooks/\S+) ", PAGE):
        send = api.post if method == "POST" else api.get
        answer = send(path.replace("$ID", made.json()["id"]), content_type="application/json")
        assert answer.status_code in (200, 202), path


def test_its_tables_are_those_of_the_code() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| after the one before"))
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", row)]
    assert waits == [delay.total_seconds() for delay in schedule.DELAYS]
    types = {name for line in PAGE.splitlines() if line.startswith("| `") for name in re.findall(r"`([a-z_.]+)`", line)}
    assert set(TYPES) <= types
    assert endpoints.MOST == 5 and "up to five endpoints" in PAGE
    assert (sender.PLACES, sender.OF_A_QUICK_ONE, sender.OF_ANOTHER, sender.FOR_ALL_OTHERS) == (16, 4, 2, 8)
