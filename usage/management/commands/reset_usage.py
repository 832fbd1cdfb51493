"""manage.py reset_usage: give a customer the quota of the present window anew."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.users import by_name
from usage.drain import drain
from usage.metering.reset import NothingUsed, reset_usage


class Command(BaseCommand):
    help = "Give a customer the quota of the present usage window anew. It acts on the next call."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="why; staff read it in the admin")

    def handle(self, *args: Any, **options: Any) -> None:
        user = by_name(options["username"])
        if user is None:
            raise CommandError(f"there is no user {options['username']}")
        reason = options["reason"].strip()
        if not 0 < len(reason) <= 200:
            raise CommandError("give a --reason of 1 to 200 characters")
        try:
            reset = reset_usage(user.pk, timezone.now(), reason=reason, by="manage.py")
        except NothingUsed:
            raise CommandError(f"{user} has used nothing of the present window") from None
        except drain.Behind as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user}: {reset.tokens:,} tokens given back")
