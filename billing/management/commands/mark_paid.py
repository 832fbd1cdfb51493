"""manage.py mark_paid: record money that was received for an invoice."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.api.payments.money_said import where_it_lies
from billing.api.sentences import to_staff
from billing.http.fields import rfc3339
from billing.invoicing.ledger import BillingError
from billing.management.arguments import parsed_time
from billing.models import Invoice, MoneyIn
from billing.models.payments.money import LONGEST_BY_HAND, MANUAL
from billing.payments.receive import is_long_before, receive
from billing.rules.money import in_currency


class Command(BaseCommand):
    help = (
        "Record money that was received for an invoice; one that is paid in full becomes paid. What is more than that "
        "goes to the account's other open invoices, then to its balance."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="the invoice's number, such as INV-000042")
        parser.add_argument("--amount", help="in the invoice's currency; default: all that is due")
        parser.add_argument(
            "--at", metavar="ISO", help="when it was received (UTC unless it names a zone); default: now"
        )
        parser.add_argument(
            "--confirm-date", action="store_true", help="the date is right, although it is long before the invoice"
        )
        parser.add_argument(
            "--reference",
            help="such as the bank's; the same one again is the same money. Default: one of this command's own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        received_at = now if options["at"] is None else parsed_time(options["at"])
        if received_at > now:
            raise CommandError(f"--at {options['at']} lies in the future; record money once it is there")
        invoice = Invoice.objects.filter(number=options["number"]).first()
        if invoice is None:
            raise CommandError(f"there is no invoice {options['number']}")
        if is_long_before(invoice, received_at) and not options["confirm_date"]:
            issued = f"{invoice.issued_at:%Y-%m-%d}"
            raise CommandError(
                f"--at {options['at']} is long before {invoice} was issued ({issued}); if it is right: --confirm-date"
            )
        reference = _reference(options["reference"], f"mark_paid {invoice} {rfc3339(now)}")
        known = MoneyIn.objects.filter(source=MANUAL, reference=reference).first()
        amount = _amount(options["amount"], known, invoice)
        try:
            money = receive(invoice.account_id, invoice.currency, amount, MANUAL, reference, received_at, now, invoice)
        except BillingError as error:
            raise CommandError(to_staff(error)) from error
        self.stdout.write(_said(money, invoice, told_before=known is not None))


def _said(money: MoneyIn, invoice: Invoice, *, told_before: bool) -> str:
    invoice.refresh_from_db()
    received, left = (
        f"{in_currency(each, invoice.currency)} {invoice.currency}" for each in (money.amount, invoice.due)
    )
    told = " before; nothing was added" if told_before else ""
    went = where_it_lies(money)
    where = "" if went == f"{received} to {invoice}" else f"; it went: {went or 'nowhere, all of it was taken back'}"
    return f"{invoice}: {received} received ({money.reference}){told}, {left} still due, {invoice.status}{where}"


def _amount(given: str | None, known: MoneyIn | None, invoice: Invoice) -> Decimal:
    """As it was given; else as it was recorded before, or all that is due."""
    if given is not None:
        return _parsed(given)
    if known is not None:
        return known.amount
    if not invoice.due:
        raise CommandError(
            f"{invoice} is {invoice.status}, nothing is due; record money that came all the same: --amount"
        )
    return invoice.due


def _parsed(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise CommandError(f"--amount {text!r} is no amount; give one such as 29.00")
    return amount


def _reference(given: str | None, own: str) -> str:
    if given is None:
        return own
    if not 0 < len(given.strip()) <= LONGEST_BY_HAND:
        raise CommandError(f"--reference takes 1 to {LONGEST_BY_HAND} characters")
    return given.strip()
