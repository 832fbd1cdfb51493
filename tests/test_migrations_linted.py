"""New migrations stop nobody, and one that would is found."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

import billing
from tests.programs import migrations

pytestmark = pytest.mark.django_db(transaction=True)  # as `manage.py sqlmigrate`, whose SQL is looked at
HARMFUL = {
    "a column that old code does not fill": (
        'migrations.AddField("plan", "planted", models.IntegerField(default=1))',
        "NOT NULL constraint",
    ),
    "a column that old code reads": ('migrations.RemoveField("plan", "name")', "DROPPING columns"),
    "a name that old code uses": ('migrations.RenameField("plan", "name", "title")', "RENAMING"),
    "an index that holds up writes": (
        'migrations.AddIndex("invoice", models.Index(fields=["status"], name="planted"))',
        "CREATE INDEX locks table",
    ),
}
HARMLESS = {
    "a column with a default in the database": (
        'migrations.AddField("plan", "planted", models.IntegerField(default=1, db_default=1))'
    ),
    "a column that may be empty": 'migrations.AddField("plan", "planted", models.IntegerField(null=True))',
    "a table": 'migrations.CreateModel("Planted", [("id", models.BigAutoField(primary_key=True))])',
}
TEXT = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("billing", "{last}")]
    operations = [{operation}]
"""


@pytest.fixture
def plant(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds a migration to a copy of billing's, which then are billing's."""

    def planted(operation: str) -> str:
        package = f"planted_{uuid.uuid4().hex}"  # Python imports each name once
        folder = tmp_path / package
        shutil.copytree(Path(billing.__file__).parent / "migrations", folder)
        last = max(path.stem for path in folder.glob("[0-9]*.py"))
        (folder / "9999_planted.py").write_text(TEXT.format(last=last, operation=operation))
        monkeypatch.syspath_prepend(str(tmp_path))
        settings.MIGRATION_MODULES = {"billing": package}
        return "billing.9999_planted"

    return planted


@pytest.mark.parametrize("what", HARMFUL)
def test_what_stops_a_site_is_found(plant: Any, capsys: pytest.CaptureFixture[str], what: str) -> None:
    operation, said = HARMFUL[what]
    name = plant(operation)
    assert name in migrations.new_ones()
    assert migrations.lint([name]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("what", HARMLESS)
def test_what_stops_nobody_passes(plant: Any, what: str) -> None:
    assert migrations.lint([plant(HARMLESS[what])]) == 0


def test_ours_pass() -> None:
    names = migrations.new_ones()
    assert any(name.endswith("_mails_not_sent") for name in names)
    assert migrations.lint(names) == 0
    assert all(reason.endswith(".") for reason in migrations.EXCEPTIONS.values())
