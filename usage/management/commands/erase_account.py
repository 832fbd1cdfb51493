"""manage.py erase_account: empty what names a person, and keep the ledger."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.api.sentences import to_staff
from billing.erasure import erase
from billing.rules.refused import Refused
from billing.users import User, by_name
from usage.models import RetiredMonth


class Command(BaseCommand):
    help = (
        "Erase what names a person: user, keys, what was written into the usage log, kept answers, reasons, histories. "
        "The account is shut first and its subscription ends; invoices, payments and the log's numbers stay. Stopped "
        "at any point, it goes on when it is given again, or by beat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account", help="the username, or the id as it stands in an invoice's account")
        parser.add_argument("--id", action="store_true", help="it is the id, also where somebody has it for a username")
        parser.add_argument("--dry-run", action="store_true", help="say what goes and what stays, and do nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--yes-open-invoices", action="store_true", help="also while invoices are open: they stay due"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = _user(options["account"], is_id=options["id"])
        self._show(user)
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was erased")
            return
        if not (options["yes"] or _agreed()):
            raise CommandError("nothing was erased")
        try:
            done = erase.erase(user.pk, timezone.now(), with_open_invoices=options["yes_open_invoices"])
        except Refused as error:
            raise CommandError(to_staff(error)) from error
        self.stdout.write(f"account {user.pk} is erased ({done})")
        exports = RetiredMonth.objects.exclude(file="").filter(starts_at__gte=user.date_joined.replace(day=1))
        for file in exports.order_by("starts_at").values_list("file", flat=True):
            self.stdout.write(f"left to you: the export {file} may have rows of it; see docs/erasure.md")

    def _show(self, user: User) -> None:
        met = erase.holdings(user.pk)
        goes = ", ".join(f"{count:,} {kind}" for kind, count in met.goes.items())
        self.stdout.write(
            f"{user} (account {user.pk}): name, e-mail, password, sessions{', ' if goes else ''}{goes} go"
        )
        self.stdout.write(f"{met.invoices:,} invoices and {met.credit_notes:,} credit notes stay, with their payments")
        if met.due:
            self.stdout.write(f"due, and not asked for any more: {', '.join(map(str, met.due))}")


def _user(text: str, *, is_id: bool) -> User:
    """Raises CommandError for none, and where it names two: a username may be digits."""
    named = None if is_id else by_name(text)
    numbered = User.objects.filter(pk=int(text)).first() if text.isdecimal() and len(text) < 19 else None
    if named is not None and numbered is not None and named != numbered:
        which = f"--id {named.pk} or --id {text}"
        raise CommandError(f"{text} is the username of account {named.pk}, and the id of {numbered}: give {which}")
    user = named or numbered
    if user is None:
        raise CommandError(f"there is no user {text}")
    return user


def _agreed() -> bool:
    try:
        return input("This cannot be undone. Type erase: ").strip() == "erase"
    except EOFError:
        return False
