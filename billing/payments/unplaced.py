"""Money that nobody has placed: it lies on a balance, and no invoice is going to use it."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet, Subquery, Sum

from billing.models import BalanceEntry, MoneyIn, Subscription


def unplaced() -> QuerySet[MoneyIn]:
    """Of balances above 0 in a currency in which the account pays for no plan: staff refund it, or ask.

    Of which money that balance is cannot be told; each that has gone to it is named.
    """
    here = {"account": OuterRef("account"), "currency": OuterRef("currency")}
    balance = BalanceEntry.objects.filter(**here).order_by().values("account").annotate(sum=Sum("amount"))
    paying = Subscription.objects.live().filter(
        account=OuterRef("account"), plan__currency=OuterRef("currency"), plan__price__gt=0
    )
    rows = MoneyIn.objects.filter(~Exists(paying), to_balance__gt=0)
    return rows.alias(balance=Subquery(balance.values("sum"))).filter(balance__gt=0)
