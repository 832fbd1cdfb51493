"""What staff have to look for: money on a balance that no invoice is going to use, and a balance that is owed to us."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet, Subquery, Sum

from billing.models import BalanceEntry, MoneyIn, Reversal, Subscription


def unplaced() -> QuerySet[MoneyIn]:
    """Of balances above 0 in a currency in which the account pays for no plan: staff refund it, or ask.

    Of which money that balance is cannot be told; each that has gone to it is named.
    """
    paying = Subscription.objects.live().filter(
        account=OuterRef("account"), plan__currency=OuterRef("currency"), plan__price__gt=0
    )
    rows = MoneyIn.objects.filter(~Exists(paying), to_balance__gt=0)
    return rows.alias(balance=_balance("account", "currency")).filter(balance__gt=0)


def owing() -> QuerySet[Reversal]:
    """Reversals of accounts whose balance is below 0 in the currency: the next invoice bills it, if there is one."""
    return Reversal.objects.alias(balance=_balance("money_in__account", "money_in__currency")).filter(balance__lt=0)


def _balance(account: str, currency: str) -> Subquery:
    """Of the account and the currency at these paths of a row."""
    entries = BalanceEntry.objects.filter(account=OuterRef(account), currency=OuterRef(currency))
    return Subquery(entries.order_by().values("account").annotate(sum=Sum("amount")).values("sum"))
