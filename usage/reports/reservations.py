"""What is open of an account's reservations, what its runs cost, and which of them went wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce

from billing.rules.periods import month_window
from usage.models import Reservation

OPEN, EXPIRED = Reservation.State.OPEN, Reservation.State.EXPIRED
LOST: Q = Q(state=EXPIRED) | Q(uncollected__gt=0)
"""What a caller has to be mended for: nobody settled it, or it used more than it had reserved and the quota had."""
RUNS_A_PAGE = 20
LOOKED_AT = 5_000
"""Reservations that one page of runs is found among."""


def open_reservations(account: int) -> QuerySet[Reservation]:
    """Newest first."""
    return Reservation.objects.filter(account=account, state=OPEN).order_by("-opened_at", "-id")


def lost(account: int, since: datetime) -> QuerySet[Reservation]:
    """Those that expired, or left tokens uncollected; the last to end first."""
    return Reservation.objects.filter(LOST, account=account, finished_at__gte=since).order_by("-finished_at")


class Place(NamedTuple):
    """A reservation, as a position in the list of them."""

    opened_at: datetime
    id: UUID

    def beyond(self) -> Q:
        """Of the older ones."""
        return Q(opened_at__lt=self.opened_at) | Q(opened_at=self.opened_at, id__lt=self.id)


class Run(NamedTuple):
    """The reservations of one run, in tokens. `cost` is what was charged, `held` what open ones hold."""

    name: str
    calls: int
    cost: int
    held: int
    uncollected: int
    open: int
    expired: int
    first_at: datetime
    last_at: datetime


class Runs(NamedTuple):
    """A page of them; `rest` is where the older ones begin, None where there are none."""

    runs: list[Run]
    rest: Place | None


def runs(account: int, since: datetime, after: Place | None = None) -> Runs:
    """Those of which a reservation was opened since an instant; the one with the newest first.

    Only so many reservations are looked at for a page: it may have no run, and the next one has.
    """
    rows = Reservation.objects.filter(account=account, opened_at__gte=since)
    older = rows if after is None else rows.filter(after.beyond(), opened_at__lte=after.opened_at)
    looked_at = [*older.order_by("-opened_at", "-id").values_list("run", "opened_at", "id")[:LOOKED_AT]]
    shown = set() if after is None else _shown(rows, {run for run, *_ in looked_at if run}, after)
    names: dict[str, None] = {}
    rest = None
    for run, at, pk in looked_at:
        if run and run not in shown and run not in names:
            if len(names) == RUNS_A_PAGE:
                return Runs(_summed(rows, names), rest)
            names[run] = None
        rest = Place(at, pk)
    return Runs(_summed(rows, names), rest if len(looked_at) == LOOKED_AT else None)


def _shown(rows: QuerySet[Reservation], names: set[str], after: Place) -> set[str]:
    """Those that an earlier page has, since they have a newer reservation."""
    newer = rows.filter(run__in=names, opened_at__gte=after.opened_at).exclude(after.beyond())
    return set(newer.order_by().values_list("run", flat=True).distinct())


def _summed(rows: QuerySet[Reservation], names: dict[str, None]) -> list[Run]:
    """In the order of the names."""
    nothing = Value(0)
    sums = (
        rows.filter(run__in=names)
        .order_by()
        .values(name=F("run"))
        .annotate(
            calls=Count("pk"),
            cost=Coalesce(Sum("charged"), nothing),
            held=Coalesce(Sum(Case(When(state=OPEN, then=F("bound")))), nothing),
            uncollected=Coalesce(Sum("uncollected"), nothing),
            open=Count("pk", filter=Q(state=OPEN)),
            expired=Count("pk", filter=Q(state=EXPIRED)),
            first_at=Min("opened_at"),
            last_at=Max("opened_at"),
        )
    )
    by_name = {of["name"]: Run(**of) for of in sums}
    return [by_name[name] for name in names if name in by_name]


class Everybody(NamedTuple):
    """Of all accounts, for staff."""

    open: int
    expired_today: int
    uncollected: int
    """Tokens, this UTC month."""
    today: datetime
    month: datetime


EVERYBODY = """
SELECT (SELECT count(*) FROM usage_reservation WHERE state = 'open'),
    (SELECT count(*) FROM usage_reservation WHERE state = 'expired' AND finished_at >= %s),
    (SELECT coalesce(sum(uncollected), 0)::bigint FROM usage_reservation WHERE uncollected > 0 AND finished_at >= %s)
"""


def of_everybody(now: datetime) -> Everybody:
    today, month = now.replace(hour=0, minute=0, second=0, microsecond=0), month_window(now).start
    with connection.cursor() as cursor:
        cursor.execute(EVERYBODY, [today, month])
        ((opened, expired, uncollected),) = cursor.fetchall()
    return Everybody(opened, expired, uncollected, today, month)


PAST = timedelta(days=30)
"""How far pages look back."""
