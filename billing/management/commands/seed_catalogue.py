"""manage.py seed_catalogue: the default plans, features, routes and models, as far as they are missing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from django.utils import timezone

from billing.catalogue import seed


class Command(BaseCommand):
    help = (
        "Create the default capabilities, plans, features, routes and model prices that are missing, by their codes. "
        "Rows that exist are never changed, so it can be run at any time."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = seed.seed(timezone.now())
        except ProgrammingError as error:
            raise CommandError("the tables are missing; run manage.py migrate first") from error
        counts = [f"{kind}: {number}" for kind, number in vars(made).items() if number]
        created = f"created {', '.join(counts)}" if counts else "nothing was missing, nothing changed"
        if options["verbosity"]:
            self.stdout.write(f"catalogue: {created}")
