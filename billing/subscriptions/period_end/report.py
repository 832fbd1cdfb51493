"""What a renewal has done, or in a dry run would do: for the command, the log and staff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from billing import tallies
from billing.invoicing.bills import Bill
from billing.models.invoicing.invoices import NOTHING

TALLIES: Final = {result: f"closes-{result}" for result in ("renewed", "ended", "parked", "failed")}
"""Under which names subscriptions are counted over all closes, by what became of them."""


@dataclass
class RenewalReport:
    """What renewing has done, or in a dry run would do."""

    renewed: int = 0
    """Subscriptions."""
    changed: int = 0
    """Of the renewed ones, those that went to the plan scheduled for them."""
    periods: int = 0
    """Opened: several for a subscription that is months late."""
    invoices: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    """What the invoices come to by currency, before any balance is used."""
    parked: list[int] = field(default_factory=list)
    """Primary keys of subscriptions that now wait for staff."""
    ended: int = 0
    """Subscriptions that were canceled, or whose users are deactivated; what follows them opens periods, too."""
    failed: dict[int, str] = field(default_factory=dict)
    """The error by the primary key of the subscription, which stays due."""

    def count_bills(self, bills: Sequence[Bill]) -> None:
        self.invoices += len(bills)
        for bill in bills:
            self._count_amount(bill.currency, bill.total)

    def add(self, other: RenewalReport) -> None:
        self.renewed += other.renewed
        self.changed += other.changed
        self.periods += other.periods
        self.invoices += other.invoices
        for currency, amount in other.amounts.items():
            self._count_amount(currency, amount)
        self.parked += other.parked
        self.ended += other.ended
        self.failed |= other.failed

    def tally(self) -> None:
        """Count it with the closes before it."""
        of_this = {
            "renewed": self.renewed,
            "ended": self.ended,
            "parked": len(self.parked),
            "failed": len(self.failed),
        }
        for result, number in of_this.items():
            tallies.add(TALLIES[result], number)

    def _count_amount(self, currency: str, amount: Decimal) -> None:
        self.amounts[currency] = self.amounts.get(currency, NOTHING) + amount
