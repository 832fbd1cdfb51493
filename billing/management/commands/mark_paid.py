"""manage.py mark_paid: record money that was received for an invoice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.api.sentences import to_staff
from billing.http.fields import rfc3339
from billing.invoicing.ledger import BillingError
from billing.management.arguments import parsed_time
from billing.models import Invoice, Payment
from billing.models.money import MANUAL
from billing.payments.receive import receive
from billing.rules.money import in_currency


class Command(BaseCommand):
    help = "Record money that was received for an invoice; one that is paid in full becomes paid."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="the invoice's number, such as INV-000042")
        parser.add_argument("--amount", help="in the invoice's currency; default: all that is due")
        parser.add_argument(
            "--at", metavar="ISO", help="when it was received (UTC unless it names a zone); default: now"
        )
        parser.add_argument(
            "--reference",
            help="such as the bank's; the same one again is the same payment. Default: one of this command's own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        paid_at = now if options["at"] is None else parsed_time(options["at"])
        if paid_at > now:
            raise CommandError(f"--at {options['at']} lies in the future; record a payment once it is there")
        invoice = Invoice.objects.filter(number=options["number"]).first()
        if invoice is None:
            raise CommandError(f"there is no invoice {options['number']}")
        amount = invoice.due if options["amount"] is None else _amount(options["amount"])
        try:
            reference = _reference(options["reference"], now)
            payment = receive(invoice.account_id, invoice.currency, amount, MANUAL, reference, paid_at, now, invoice)
        except BillingError as error:
            raise CommandError(to_staff(error)) from error
        except ValueError as error:  # more decimals or digits than an amount of money has
            raise CommandError(str(error)) from error
        invoice.refresh_from_db()
        received, left = (in_currency(each, invoice.currency) for each in (payment.amount, invoice.due))
        self.stdout.write(
            f"{invoice}: {received} {invoice.currency} received ({payment.reference}), {left} {invoice.currency} "
            f"still due, {invoice.status}"
        )


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise CommandError(f"--amount {text!r} is no amount; give one such as 29.00")
    return amount


def _reference(given: str | None, now: datetime) -> str:
    if given is None:
        return f"mark_paid {rfc3339(now)}"
    longest = Payment._meta.get_field("reference").max_length or 0
    if not 0 < len(given.strip()) <= longest:
        raise CommandError(f"--reference takes 1 to {longest} characters")
    return given.strip()
