"""What was paid in a month, counted payment by payment."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from billing.models import Payment
from billing.reports.month import Amounts
from billing.rules.periods import month_window


def paid_by_payments(now: datetime) -> Amounts:
    """Of the month of an instant, payment by payment, in the currencies in which it is not 0."""
    window, sums = month_window(now), defaultdict[str, Decimal](Decimal)
    for payment in Payment.objects.select_related("invoice"):
        if window.start <= payment.paid_at < window.end:
            sums[payment.invoice.currency] += payment.amount
    return {currency: sum_ for currency, sum_ in sums.items() if sum_}
