"""The numbers of documents: gapless in each series, also under concurrency and after a rollback."""

from __future__ import annotations

from django.db import connection

INVOICES, CREDIT_NOTES = "INV", "CN"


def take_numbers(series: str, count: int) -> list[str]:
    """The next `count` numbers of a series, in the caller's transaction.

    The series' row stays locked until the transaction ends, which keeps the numbers gapless. So they are taken last,
    after everything that may wait for another lock.
    """
    if not count:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_documentnumber AS number (series, last) VALUES (%s, %s)"
            " ON CONFLICT (series) DO UPDATE SET last = number.last + EXCLUDED.last RETURNING last",
            [series, count],
        )
        last = int(cursor.fetchone()[0])
    return [f"{series}-{number:06d}" for number in range(last - count + 1, last + 1)]
