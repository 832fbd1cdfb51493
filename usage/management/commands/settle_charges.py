"""manage.py settle_charges: take back charges of calls that were not served."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from usage.drain import drain
from usage.metering.voiding import settle_charge


class Command(BaseCommand):
    help = (
        "Take back charges of calls that were not served: those that the site's log names after an outage of both "
        "engines, when the process that would have done it has ended. What was taken back already is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("charges", nargs="+", type=UUID, metavar="CHARGE", help="the id that the log names")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            drain.catch_up_everywhere()
        except drain.Behind as error:
            raise CommandError(str(error)) from error
        for charge in options["charges"]:
            self.stdout.write(f"{charge}: {settle_charge(charge, timezone.now()).value}")
