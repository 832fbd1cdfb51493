"""docs/upgrade.md, its commands as they stand there, on a site with data whose schema is that of the release before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from billing_site.operations.schema import missing_migrations
from tests.cast import Customer
from tests.journeys.server import CHECKOUT
from tests.journeys.typing_commands import Site, commands
from tests.programs.migrations import BASELINE
from usage.drain import drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old_schema() -> Iterator[None]:
    """The tables as they were before the migrations that are not released."""
    known = MigrationLoader(None).disk_migrations
    before = [(app, name) for app, name in known if app in BASELINE and name[:4] == BASELINE[app]]
    yield MigrationExecutor(connection).migrate(before)
    call_command("migrate", verbosity=0)


def test_a_site_with_data_comes_to_the_new_schema(
    bob: Customer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site = Site(connection.settings_dict["NAME"], settings.REDIS_URL, tmp_path)
    for _ in range(3):
        assert bob.api.get("/api/v1/risk/score").status_code == 200
    assert bob.post("/api/v1/billing/upgrade", {"target_plan": "pro"}).status_code == 200
    drain.drain()
    before = site.seen_by(bob)
    request.getfixturevalue("old_schema")
    assert missing_migrations()
    steps = commands("upgrade.md", "The steps")
    migrating, last = steps[:3], steps[3:]
    site.type([*commands("upgrade.md", "Before"), *migrating], STATIC_ROOT=str(tmp_path / "static"))
    assert not missing_migrations()
    assert (tmp_path / "static" / "billing_site").is_dir()
    assert site.seen_by(bob) == before
    assert [line.split()[:2] for line in last] == [
        ["manage.py", "doctor"],
        ["make", "smoke"],
    ]  # their own tests run them


def test_each_release_has_its_row() -> None:
    releases = re.findall(r"^## (.+)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    table = (CHECKOUT / "docs" / "upgrade.md").read_text().partition("## What each release needs")[2]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:] == releases
