"""An update of the code in place, with a migration, under load: the old code serves while the new tables come, and no
request fails when new workers take over."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests
from django.conf import settings

from billing_site.local.engines.process import wait_until
from tests.effort import LONG
from tests.journeys.server import CHECKOUT, Server, environment, running
from tests.journeys.test_restarts import PATIENT, Load, reload

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not LONG, reason="minutes, as a database is migrated from its beginning: TESTS=long"),
]
DATABASE = "rolling_update"
MIGRATION = """
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("usage", {last!r})]
    operations = [migrations.RunSQL("ALTER TABLE usage_setasideentry ADD COLUMN of_tomorrow integer NULL")]
"""
READER = """
    def tomorrow(self) -> str:
        return "tomorrow"
"""
VIEW = """
        from django.conf import settings
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(of_tomorrow) FROM usage_setasideentry")
        return Response({"path": settings.OF_TOMORROW, "method": request.method, "input": given})
"""


@pytest.fixture
def database() -> Iterator[str]:
    """An empty one of this test's own, beside that of the run."""
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
        yield DATABASE
        server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This code, in a folder where it may be changed."""
    for name in ("manage.py", "ratelimit", "billing", "usage", "billing_site", "templates"):
        source, target = CHECKOUT / name, tmp_path / "site" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return tmp_path / "site"


def manage(checkout: Path, database: str, *arguments: str) -> str:
    argv = [sys.executable, "manage.py", *arguments]
    env = environment(database)
    return subprocess.run(argv, cwd=checkout, env=env, capture_output=True, text=True, check=True).stdout


def update(checkout: Path) -> None:
    """Code of tomorrow: a column, a variable that needs a new way of reading, and a view that needs both."""
    migrations = checkout / "usage" / "migrations"
    last = max(path.stem for path in migrations.glob("0*.py"))
    (migrations / f"{int(last[:4]) + 1:04}_tomorrow.py").write_text(MIGRATION.format(last=last))
    group = checkout / "billing_site" / "environment" / "group.py"
    group.write_text(re.sub(r"\n    def elsewhere", f"{READER}\n    def elsewhere", group.read_text(), count=1))
    with (checkout / "billing_site" / "variables" / "site.py").open("a") as variables:
        variables.write("\nOF_TOMORROW = site.tomorrow()\n")
    view = checkout / "billing_site" / "sandbox.py"
    text = view.read_text()
    answer = '\n        return Response({"path": request.path, "method": request.method, "input": given})\n'
    assert answer in text
    view.write_text(text.replace(answer, VIEW))


def test_old_code_serves_on_new_tables_and_new_workers_take_over(checkout: Path, database: str) -> None:
    manage(checkout, database, "migrate", "--verbosity", "0")
    manage(checkout, database, "seed_catalogue")
    users = json.loads(manage(checkout, database, "create_test_users", "--json"))
    key = next(user["api_key"] for user in users if user["username"].startswith("enterprise"))
    with running(database, *PATIENT, checkout=checkout) as server:
        load = Load([server], key)
        with load.running():
            load.goes_on()
            update(checkout)
            load.goes_on()
            manage(checkout, database, "migrate", "--verbosity", "0")
            load.goes_on()
            assert said(server, key) == "/api/v1/trace/start", "the old code is gone before it was asked to"
            reload(server)
            wait_until(lambda: said(server, key) == "tomorrow", 30, "the new code does not serve")
            load.goes_on()
        assert set(load.outcomes) == {"200"}


def said(server: Server, key: str) -> str:
    answer = requests.get(f"{server.url}/api/v1/trace/start", headers={"Authorization": f"Bearer {key}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["path"])
