"""What is due for tokens above the quota when periods close: computed for a batch of subscriptions, then billed.

Each window has its row, which says what of it was billed. Whatever comes later, from Redis or by a void, is compared
with the row at the next close: so each token is billed once, and each that is taken back is given back once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from billing.invoicing import taxation
from billing.invoicing.bills import Bill, Line
from billing.invoicing.ledger import Kind
from billing.models import BillingPeriod, Invoice, InvoiceLine, WindowOverage
from billing.postgres.any_of import any_of
from billing.rules.periods import Period
from billing.rules.tokens.overage import Stretch, above_quota, cost, shown_price
from billing.subscriptions.overage.closing import Closing, closings
from billing.subscriptions.overage.past import Pasts
from billing.subscriptions.overage.usage import Asked, asked, used_tokens
from billing.subscriptions.period_end.rule import Renewal

COMPARED_FOR = timedelta(days=100)
"""After a window has ended: what comes later than that is not billed any more."""
LONGEST_WINDOW = timedelta(days=62)


class Arrears:
    """What a batch of renewals has to bill for tokens above the quota; nothing is written before `save`.

    Of one that closes no period that is what is known already: parts of a window, what came late. Nothing for
    deactivated users, who are never invoiced again.
    """

    def __init__(self, renewals: Sequence[Renewal], latest: Mapping[int, BillingPeriod], now: datetime) -> None:
        self._bills: dict[int, list[Bill]] = {}
        self._rows: dict[int, list[tuple[WindowOverage, Line | None]]] = defaultdict(list)
        accounts = {r.subscription.account_id: r for r in renewals if r.subscription.account.is_active}
        known = _known(accounts, now)
        selling = [each for r in accounts.values() for each in _selling(r, latest[r.subscription.pk])]
        if not selling and not known:
            return
        pasts = Pasts({each.account for each in selling})
        for each in selling:
            known[each.account] += _closed(each, pasts, known[each.account])
        used = used_tokens(row for rows in known.values() for row in rows)
        for account, rows in known.items():
            self._compare(accounts[account], rows, used, now)
        taxed = iter(taxation.taxed([bill for bills in self._bills.values() for bill in bills], now))
        self._bills = {pk: [next(taxed) for _ in bills] for pk, bills in self._bills.items()}

    def bills(self, renewed: Renewal) -> list[Bill]:
        """One in each currency, as a rule none or one."""
        return self._bills.get(renewed.subscription.pk, [])

    def save(self, renewed: Iterable[Renewal], invoices: Mapping[int, Invoice]) -> None:
        """Note what was billed of each window, by the invoices of these bills (their `id`)."""
        rows = []
        for each in renewed:
            of_currency = {bill.currency: invoices[id(bill)] for bill in self.bills(each)}
            for row, line in self._rows.get(each.subscription.pk, ()):
                if line is not None:
                    row.invoice = of_currency[row.currency]
                rows.append(row)
        WindowOverage.objects.bulk_create([row for row in rows if row.pk is None])
        WindowOverage.objects.bulk_update([row for row in rows if row.pk], ["used", "tokens", "amount", "invoice"])

    def _compare(
        self, renewed: Renewal, rows: Sequence[WindowOverage], used: Mapping[Asked, int], now: datetime
    ) -> None:
        lines: dict[str, list[Line]] = defaultdict(list)
        for of_window in _by_window(rows):
            for number, row in enumerate(of_window):
                now_used = used[asked(row)]
                if now_used == row.used or not _is_open(row, renewed, now):
                    continue
                if line := _line(row, of_window[:number], now_used):
                    lines[row.currency].append(line)
                self._rows[renewed.subscription.pk].append((row, line))
        bills = [Bill(renewed.subscription, currency, tuple(some)) for currency, some in lines.items()]
        self._bills[renewed.subscription.pk] = bills


def _is_open(row: WindowOverage, renewed: Renewal, now: datetime) -> bool:
    """Whether anything may still be billed of it."""
    if row.used is None:
        # What a deactivated user left unbilled stays so, also when he is back with another subscription.
        return row.pk is None or row.billing_period.subscription_id == renewed.subscription.pk
    return not row.is_part and row.until > now - COMPARED_FOR


def _known(accounts: Collection[int], now: datetime) -> dict[int, list[WindowOverage]]:
    known: dict[int, list[WindowOverage]] = defaultdict(list)
    since = now - COMPARED_FOR - LONGEST_WINDOW
    rows = WindowOverage.objects.filter(Q(until__gt=since) | Q(used=None), any_of("account", accounts))
    for row in rows.select_related("billing_period__subscription").order_by("until", "pk"):
        known[row.account_id].append(row)
    return known


def _selling(renewed: Renewal, last: BillingPeriod) -> Iterable[Closing]:
    """Of the periods that a renewal closes, those that tokens above the quota were sold in."""
    if all(period.overage_price is None for period in (last, *renewed.opened[:-1])):
        return ()
    return [closing for closing in closings(renewed, last) if closing.period.overage_price is not None]


def _closed(closing: Closing, pasts: Pasts, known: Sequence[WindowOverage]) -> Iterator[WindowOverage]:
    """A row for each window that ends in the closed period; nothing of it is billed yet."""
    for window in closing.windows():
        earlier = [row.until for row in known if row.window_starts_at == window.start and row.until < window.end]
        stretch = Period(max([window.start, *earlier]), window.end)
        yield WindowOverage(
            account_id=closing.account,
            billing_period=closing.period,
            window_starts_at=window.start,
            until=window.end,
            included=pasts.included(closing.account, closing.holder, closing.plan, stretch),
            unit_price=closing.period.overage_price,
            currency=closing.period.currency,
        )


def _by_window(rows: Sequence[WindowOverage]) -> Iterable[list[WindowOverage]]:
    windows: dict[datetime, list[WindowOverage]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.until):
        windows[row.window_starts_at].append(row)
    return windows.values()


def _line(row: WindowOverage, earlier: Sequence[WindowOverage], used: int) -> Line | None:
    """What is to be billed of a window now; None where that is nothing. The row is brought up to it."""
    is_late = row.used is not None
    before = [Stretch(each.used or 0, each.included, each.tokens) for each in earlier]
    tokens = above_quota(before, used, row.included) if row.unit_price is not None else 0
    more, row.used, row.tokens = tokens - row.tokens, used, tokens
    if row.unit_price is None:
        return None
    # Of all of the window's tokens, so that what comes in drops is rounded once, too.
    amount = cost(tokens, row.unit_price, row.currency) - row.amount
    if amount < 0:
        # What staff have credited or voided of it is not given back once more.
        amount = max(amount, -InvoiceLine.objects.overage_of_period(row.billing_period).net())
    row.amount += amount
    if not amount:
        return None
    window = Period(row.window_starts_at, row.until)
    return Line(Kind.OVERAGE, _described(row, more, is_late), amount, window, row.billing_period)


def _described(row: WindowOverage, more: int, is_late: bool) -> str:
    assert row.unit_price is not None
    unit = f"at {shown_price(row.unit_price, row.currency)} per 1,000"
    if not is_late:
        return f"{more:,} tokens above the quota {unit}"
    window = f"{row.window_starts_at:%Y-%m-%d} to {row.until:%Y-%m-%d}"
    if more < 0:
        return f"Taken back: {-more:,} tokens above the quota of {window} {unit}"
    return f"Late: {more:,} tokens above the quota of {window} {unit}"
