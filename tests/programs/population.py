"""Many customers with their keys and invoices, in the configured database: `python -m tests.programs.population`.

For looking at the admin, and for measuring it. It adds to what is there and takes nothing away.
"""

from __future__ import annotations

import argparse
import os
import sys

CUSTOMERS, INVOICES = 20_000, 200_000
BACK = "%(now)s - ((%(last)s - n) %% 730) * interval '1 day' - (n %% 86400) * interval '1 second'"
"""An instant of the past two years."""
STATEMENTS = f"""
UPDATE auth_user SET email = username || '@example.org' WHERE id BETWEEN %(first_customer)s AND %(last_customer)s;
INSERT INTO billing_apikey (id, prefix, hashed_key, created, name, revoked, account_id, scope)
    SELECT lpad(to_hex(n), 8, 'x'), lpad(to_hex(n), 8, 'x'), 'population' || n,
        %(now)s - (n %% 700) * interval '1 day' - n %% 86400 * interval '1 second', 'first', n %% 20 = 0, n, ''
    FROM generate_series(%(first_customer)s, %(last_customer)s) AS n;
INSERT INTO billing_invoice (id, account_id, subscription_id, number, status, currency, total, net, tax, settled,
        reverse_charge, created_at, issued_at, due_at)
    SELECT n, account, account, 'P' || lpad(n::text, 12, '0'), CASE WHEN n %% 50 = 0 THEN 'open' ELSE 'paid' END,
        CASE WHEN n %% 3 = 0 THEN 'EUR' ELSE 'USD' END, 29, 29, 0, CASE WHEN n %% 50 = 0 THEN 0 ELSE 29 END,
        false, {BACK}, {BACK}, {BACK} + interval '14 days'
    FROM (SELECT n, %(first_customer)s + n %% %(customers)s AS account
          FROM generate_series(%(first)s, %(last)s) AS n) AS numbered;
INSERT INTO billing_invoiceline (invoice_id, position, kind, description, amount, period_start, period_end,
        billing_period_id)
    SELECT n, 1, 'base', 'starter', 29, {BACK}, {BACK} + interval '1 month', period.id
    FROM generate_series(%(first)s, %(last)s) AS n
    JOIN billing_billingperiod period ON period.number = 0
        AND period.subscription_id = %(first_customer)s + n %% %(customers)s;
WITH money AS (
    INSERT INTO billing_moneyin (account_id, invoice_id, currency, amount, to_balance, source, reference, received_at,
            recorded_at)
        SELECT account_id, id, currency, 29, 0, 'manual', 'bank-' || id, issued_at, issued_at FROM billing_invoice
        WHERE id BETWEEN %(first)s AND %(last)s AND status = 'paid'
    RETURNING id, invoice_id, amount, received_at, reference
)
INSERT INTO billing_payment (invoice_id, money_in_id, amount, paid_at, reference)
    SELECT invoice_id, id, amount, received_at, reference FROM money;
INSERT INTO billing_creditnote (account_id, invoice_id, number, amount, net, tax, currency, reason, issued_at)
    SELECT %(first_customer)s + n %% %(customers)s, n, 'PC' || lpad(n::text, 12, '0'), 5, 5, 0,
        CASE WHEN n %% 3 = 0 THEN 'EUR' ELSE 'USD' END, 'goodwill', {BACK}
    FROM generate_series(%(first)s, %(last)s) AS n WHERE n %% 20 = 1;
INSERT INTO billing_balanceentry (account_id, amount, currency, invoice_id, credit_note_id, created_at)
    SELECT account_id, amount, currency, NULL, id, issued_at FROM billing_creditnote
    WHERE invoice_id BETWEEN %(first)s AND %(last)s;
"""


def populate(customers: int, invoices: int) -> None:
    """So many more customers, and so many invoices more, spread over them and over two years."""
    from django.contrib.auth.models import User
    from django.db import connection, transaction
    from django.db.models import Max
    from django.utils import timezone

    from billing.models import Invoice, Plan, Subscription
    from tests.programs.bench import growth_population as growth

    def highest(*models: type) -> int:
        return max(model.objects.aggregate(id=Max("pk"))["id"] or 0 for model in models)  # type: ignore[attr-defined]

    now = timezone.now()
    first_customer, first = highest(User, Subscription) + 1, highest(Invoice) + 1
    plans = list(Plan.objects.on_sale().order_by("pk"))
    growth.customers(first_customer, first_customer + customers - 1, plans, growth.last_month(now))
    values = {
        "now": now,
        "customers": customers,
        "first_customer": first_customer,
        "last_customer": first_customer + customers - 1,
        "first": first,
        "last": first + invoices - 1,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in STATEMENTS.split(";\n")[:-1]:
            cursor.execute(statement, values)
        cursor.execute("SELECT setval(pg_get_serial_sequence('billing_invoice', 'id'), %s)", [values["last"]])
        cursor.execute("ANALYZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--invoices", type=int, default=INVOICES)
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")
    import django

    django.setup()
    populate(asked.customers, asked.invoices)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    print(f"{asked.customers:,} customers and {asked.invoices:,} invoices more.", file=sys.stderr)


if __name__ == "__main__":
    main()
