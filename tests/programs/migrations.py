"""Would a new migration lock a table that is in use, or break the code that still runs while it is applied?

python -m tests.programs.migrations     exit code 1 where one would; docs/upgrade.md says how it is done instead

It asks django-migration-linter, on the SQL that PostgreSQL would get. A database of its own is started for it.
"""

from __future__ import annotations

import sys
from typing import Final

BASELINE: Final = {"billing": "0037", "usage": "0019"}
"""Migrations up to these are not looked at. They are from before there was a site in production, which this linter is
for: twenty of them make an index or a column in a way that would stop one. They are applied, and never change."""
EXCEPTIONS: Final[dict[str, str]] = {}
"""By "app.name", why a later one does what the linter refuses, and why nobody is stopped by it."""
STOPPING: Final = ("CREATE_INDEX", "CREATE_INDEX_EXCLUSIVE", "DROP_INDEX", "REINDEX")
"""What the linter only warns of, and what stops whoever writes to the table meanwhile."""


def new_ones() -> list[str]:
    """Names of the migrations of our apps that are newer than the baseline and no exceptions."""
    from django.db.migrations.loader import MigrationLoader

    known = MigrationLoader(None).disk_migrations
    newer = (f"{app}.{name}" for app, name in known if app in BASELINE and name[:4] > BASELINE[app])
    return sorted(set(newer) - EXCEPTIONS.keys())


def lint(names: list[str]) -> int:
    """Print what is wrong with them; how many are wrong."""
    from django_migration_linter import MigrationLinter

    linter = MigrationLinter(
        no_cache=True, analyser_string="postgresql", warnings_as_errors_tests=STOPPING, quiet=["ok"]
    )
    for name in names:
        app, _, migration = name.partition(".")
        linter.lint_all_migrations(app_label=app, migration_name=migration)
    return int(linter.nb_erroneous)


def main() -> int:
    from tests import engines

    engines.start()
    import django
    from django.conf import settings

    settings.LOGGING_CONFIG = None
    django.setup()
    names = new_ones()
    wrong = lint(names)
    print(f"{len(names)} new migrations, {wrong} that would stop a site in use")
    return 1 if wrong else 0


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")
    os.environ.setdefault("SECRET_KEY", "lint")
    sys.exit(main())
