"""Pages as whole WSGI calls, where there are 20,000 customers with 200,000 invoices and a log of 1,000,000 rows, and
where there is ten times as much of each. Two databases, asked in turn. The staff's home is asked with its figures kept,
as a worker keeps them while anybody looks, and with nothing kept, as by the first who looks in three days.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client

from billing.models import Invoice, Plan
from billing.rules.periods import MONTH, month_window, period_start
from billing.subscriptions import opening
from billing_site.staff_home import figures
from tests.programs.bench import Row
from tests.programs.bench.growth_log import EVENTS_AN_ACCOUNT, MONTHS, grow
from tests.programs.bench.growth_population import copy_database, use_database
from tests.programs.bench.rounds import Contestant, Timing, measure, timing
from tests.programs.bench.stage import say
from tests.programs.population import populate
from usage.log.months import partitions

TITLE = "Growth: pages"
SMALL = "few_customers"
MOST_TIMES = 1.3
OVERVIEW, FIRST = "a customer's overview", "the staff's home, nothing kept"
OVERVIEW_MS, PAGE_MS = 50, 150
PATHS = {
    OVERVIEW: "/dashboard/",
    "the staff's home": "/admin/",
    FIRST: "/admin/",
    "a customer, to staff": "/admin/auth/user/{customer}/change/",
    "a subscription, to staff": "/admin/billing/subscription/{customer}/change/",
    "an invoice, to staff": "/admin/billing/invoice/{invoice}/change/",
    "users": "/admin/auth/user/",
    "users, one looked for": "/admin/auth/user/?q=customer{customer}@example.org",
    "subscriptions": "/admin/billing/subscription/",
    "API keys": "/admin/billing/apikey/",
    "invoices": "/admin/billing/invoice/",
    "invoices, one number looked for": "/admin/billing/invoice/?q={number}",
    "payments": "/admin/billing/payment/",
    "the usage log": "/admin/usage/usagelog/",
}


def run(*, quick: bool) -> list[Row]:
    customers, invoices, rows = (200, 2_000, 10_000) if quick else (20_000, 200_000, 1_000_000)
    now = datetime.now(UTC)
    partitions.ensure(period_start(month_window(now).start, MONTH, -n) for n in range(MONTHS))
    get = _reader(now)
    say(f"{customers:,} customers")
    populate(customers, invoices)
    first = int(get_user_model().objects.filter(username__startswith="customer").earliest("pk").pk)
    grow(first, rows, now)
    large = str(connection.settings_dict["NAME"])
    copy_database(SMALL)
    say(f"{customers * 10:,} customers")
    populate(customers * 9, invoices * 9)
    grow(first + rows // EVENTS_AN_ACCOUNT, rows * 9, now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    contestants = {
        (database, page): Contestant(partial(get, page), partial(_enter, database))
        for database in (SMALL, large)
        for page in PATHS
    }
    medians = measure(contestants, 3 if quick else 15, 7)
    return [
        row
        for page in PATHS
        for row in _rows(page, customers, timing(medians[SMALL, page]), timing(medians[large, page]))
    ]


def _rows(page: str, customers: int, small: Timing, grown: Timing) -> list[Row]:
    most = OVERVIEW_MS if page == OVERVIEW else PAGE_MS
    ratio = grown.us / small.us
    met = grown.us <= most * 1000 and ratio <= MOST_TIMES
    goal = f"≤ {most} ms and ≤ {MOST_TIMES} ×"
    notes = [f"{each.low / 1000:.0f} to {each.high / 1000:.0f}" for each in (small, grown)]
    return [
        Row(f"{page}, {customers:,} customers", small.us / 1000, "ms", note=notes[0]),
        Row(f"{page}, {customers * 10:,} customers", grown.us / 1000, "ms", goal, ratio, met, notes[1]),
    ]


def _enter(database: str) -> None:
    """What is kept for all customers is of the database asked."""
    use_database(database)
    cache.delete(figures.KEY)


def _reader(now: datetime) -> Callable[[str], None]:
    """Asks for a page, a customer's as alice and staff's as a superuser, who both are in each database."""
    users = get_user_model().objects
    alice = users.create_user("alice")
    opening.subscribe(alice.pk, Plan.objects.get(code="starter"), now - timedelta(days=20))
    customer, staff = Client(), Client()
    customer.force_login(alice)
    staff.force_login(users.create_superuser("sue", "sue@example.org", "-"))
    seen: dict[str, object] = {}

    def get(page: str) -> None:
        if not seen:
            invoice = Invoice.objects.filter(number__startswith="P").earliest("pk")
            seen.update(customer=invoice.account_id, invoice=invoice.pk, number=invoice.number)
        if page == FIRST:
            cache.delete(figures.KEY)
        path = PATHS[page].format(**seen)
        answer = (customer if page == OVERVIEW else staff).get(path)
        assert answer.status_code == 200, (path, answer.status_code)

    return get
