"""What PostgreSQL must be for what it has committed to count, and that it has this code's tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning, register
from django.db import Error as DatabaseError
from django.db import connection

from billing_site.operations.schema import missing_migrations
from ratelimit.checks import ENGINES

POSTGRES: Final = """
SELECT current_setting('TimeZone'), current_setting('transaction_isolation'), current_setting('synchronous_commit'),
    current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()
"""


@register(ENGINES, deploy=True)
def check_postgres(**_: Any) -> Iterable[CheckMessage]:
    """What must hold of PostgreSQL's settings. Its version is checked by Django, at the first connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(POSTGRES)
            row = cursor.fetchone()
            assert row is not None
        missing = missing_migrations()
    except DatabaseError as error:
        reason = " ".join(str(error).split())
        hint = "Start it or check DATABASE_URL, then run `manage.py check --deploy`: nothing could be verified."
        return [Warning(f"PostgreSQL does not answer: {reason}", hint=hint, id="billing_site.W010")]
    return [*_faults_of_postgres(*row), *_faults_of_tables(missing)]


def _faults_of_tables(missing: list[str]) -> Iterable[CheckMessage]:
    if missing:
        yield Error(
            f"The database lacks {len(missing)} of this code's migrations, the first is {missing[0]}.",
            hint="Run `manage.py migrate`, and `manage.py seed_catalogue` after the first time.",
            id="billing_site.E015",
        )


def _faults_of_postgres(
    zone: str, isolation: str, commit: str, fsync: str, full_pages: str, is_standby: bool
) -> Iterable[CheckMessage]:
    if is_standby:
        hint = "Let DATABASE_URL name the primary."
        yield Error("PostgreSQL is a standby: nothing can be charged or sold.", hint=hint, id="billing_site.E010")
    if zone != "UTC":
        hint = "Remove TIME_ZONE from DATABASES, and -c timezone from its OPTIONS."
        yield Error(f"PostgreSQL's sessions are in {zone}, not in UTC.", hint=hint, id="billing_site.E011")
    if isolation != "read committed":
        yield Error(
            f"PostgreSQL's transactions are {isolation}: charges and drains would fail on each other.",
            hint="Set default_transaction_isolation to 'read committed' for this database.",
            id="billing_site.E012",
        )
    if commit == "off" or "off" in (fsync, full_pages):
        yield Error(
            f"PostgreSQL does not keep what it commits (synchronous_commit {commit}, fsync {fsync}, full_page_writes"
            f" {full_pages}): events that have left Redis would be lost in a crash.",
            hint="Turn these settings on.",
            id="billing_site.E013",
        )
