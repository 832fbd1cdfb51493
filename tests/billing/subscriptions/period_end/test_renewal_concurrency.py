"""Many at once: upgrades, closers, payments and credit notes on real connections of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction

from billing.invoicing import credit_notes, ledger
from billing.models import BillingPeriod, CreditNote, DocumentNumber, Invoice, Plan, Subscription
from billing.subscriptions import changes, opening, refusals
from billing.subscriptions.period_end import renewal
from billing.subscriptions.period_end.report import RenewalReport
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay, pay_in_full
from tests.factories import at, make_subscription, money
from tests.processes import database_url

pytestmark = pytest.mark.django_db(transaction=True)
START, END, MIDDLE = at("2025-10-01"), at("2025-11-01"), at("2025-10-16")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Start all of them together, each on its own connection; what each returned or raised."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def assert_gapless() -> None:
    issued = sorted(Invoice.objects.values_list("number", flat=True), key=str)
    assert issued == [f"INV-{number:06d}" for number in range(1, len(issued) + 1)]


def test_fifty_upgrades_at_once_are_one(low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, START)
    answers = at_once(*[lambda: changes.upgrade(subscription.account_id, high, MIDDLE)] * 50)
    done = [answer for answer in answers if isinstance(answer, changes.Changed)]
    refused = [answer for answer in answers if isinstance(answer, refusals.NotAnUpgrade)]
    assert (len(done), len(refused)) == (1, 49), answers
    assert [invoice.total for invoice in invoices(subscription)] == [31, 32]
    assert_gapless()
    assert_explained(subscription)


def test_fifty_first_uses_open_one_subscription(low: Plan, django_user_model: Any) -> None:
    Plan.objects.filter(pk=low.pk).update(is_default=True)
    user = django_user_model.objects.create_user("new")
    answers = at_once(*[lambda: opening.get_or_open_subscription(user.pk, START).pk] * 50)
    assert len(set(answers)) == 1, answers
    assert Invoice.objects.count() == 1


def test_an_upgrade_meets_the_close_at_the_periods_end(low: Plan, high: Plan) -> None:
    """In either order the next period is opened once, and the upgrade is prorated within it."""
    for _ in range(5):
        subscription = make_subscription(low, START)
        account = subscription.account_id
        answers = at_once(
            lambda account=account: changes.upgrade(account, high, END),  # type: ignore[misc]
            lambda: renewal.renew_due(END),
            lambda: renewal.renew_due(END),
        )
        assert not [answer for answer in answers if isinstance(answer, Exception)], answers
        assert [lines(invoice) for invoice in invoices(subscription)] == [
            [("base", 31)],
            [("base", 31)],
            [("credit", -31), ("charge", 93)],
        ]
        assert_tiled(subscription)
        assert_explained(subscription)
    assert_gapless()


def test_several_closers_share_the_work_and_do_it_once(low: Plan, high: Plan, monkeypatch: Any) -> None:
    monkeypatch.setattr(renewal, "BATCH", 7)
    customers = [make_subscription(high, START) for _ in range(60)]
    Subscription.objects.update(scheduled_plan=low, scheduled_at=END)
    results = at_once(*[lambda: renewal.renew_due(END)] * 4)
    total = RenewalReport()
    for result in results:
        total.add(result)
    assert (total.renewed, total.changed, total.periods, total.invoices) == (60, 60, 60, 60)
    assert (total.failed, Subscription.objects.due(END).count()) == ({}, 0)
    for subscription in customers:
        assert (fresh(subscription).plan, len(invoices(subscription))) == (low, 2)
        assert_tiled(subscription)
    assert_gapless()


def test_a_closer_passes_over_what_another_holds(low: Plan) -> None:
    held, free = make_subscription(low, START), make_subscription(low, START)
    with transaction.atomic():
        changes.locked(held.account_id, START)
        (done,) = at_once(lambda: renewal.renew_due(END))
        assert done.renewed == 1
        assert (len(invoices(held)), len(invoices(free))) == (1, 2)
    assert renewal.renew_due(END).renewed == 1


@pytest.mark.parametrize("paid", [True, False])
def test_credit_notes_at_once_never_exceed_the_invoice(low: Plan, paid: bool) -> None:
    subscription = make_subscription(low, START)
    (invoice,) = invoices(subscription)
    if paid:
        pay_in_full(invoice, START)
    answers = at_once(
        *[lambda: credit_notes.credit(Invoice.objects.get(pk=invoice.pk), money(10), "outage", START)] * 8
    )
    notes = [answer for answer in answers if isinstance(answer, CreditNote)]
    assert (len(notes), sorted(note.number for note in notes)) == (3, ["CN-000001", "CN-000002", "CN-000003"])
    assert sum(isinstance(answer, ledger.BillingError) for answer in answers) == 5
    assert ledger.balance(subscription.account_id, "USD") == (30 if paid else 0)
    assert_explained(subscription)


def test_payments_credits_and_changes_at_once_keep_the_ledger(low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, START)
    account = subscription.account_id
    (base,) = invoices(subscription)

    def settle() -> None:
        pay(Invoice.objects.get(pk=base.pk), money(31), MIDDLE, "bank")

    def credit() -> None:
        credit_notes.credit(Invoice.objects.get(pk=base.pk), money(5), "outage", MIDDLE)

    at_once(*[settle, credit, lambda: changes.upgrade(account, high, MIDDLE), lambda: renewal.renew_due(END)] * 3)
    renewal.renew_due(END)
    assert_explained(subscription)
    assert_tiled(subscription)
    assert_gapless()


CLOSER = """
import sys
from datetime import UTC, datetime
import django
django.setup()
from billing.subscriptions.period_end import renewal
renewal.BATCH = 50
def progress(count):
    print(count, flush=True)
    sys.stdin.readline()  # go on when told to
renewal.renew_due(datetime(2025, 11, 1, tzinfo=UTC), progress)
"""


def test_what_a_killed_closer_had_begun_is_done_once_by_others(low: Plan, high: Plan) -> None:
    for _ in range(200):
        make_subscription(high, START)
    Subscription.objects.update(scheduled_plan=low, scheduled_at=END)
    environment = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "billing_site.settings"}
    process = subprocess.Popen(
        [sys.executable, "-c", CLOSER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
    )
    assert process.stdout is not None and process.stdin is not None
    with process:
        assert process.stdout.readline() == "50\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "50\n"
        with transaction.atomic():
            DocumentNumber.objects.select_for_update().get(series="INV")
            process.stdin.write("\n")
            process.stdin.flush()
            _wait_until_somebody_waits_for_a_lock()
            process.send_signal(signal.SIGKILL)  # in the middle of its third batch
    assert BillingPeriod.objects.filter(number=1).count() == 100
    both = at_once(lambda: renewal.renew_due(END), lambda: renewal.renew_due(END))
    assert sum(done.renewed for done in both) == sum(done.changed for done in both) == 100
    assert BillingPeriod.objects.filter(number=1, plan=low).count() == 200
    assert Subscription.objects.filter(plan=low, scheduled_plan=None, period_ends_at=at("2025-12-01")).count() == 200
    assert_gapless()


def _wait_until_somebody_waits_for_a_lock() -> None:
    deadline = time.monotonic() + 60
    with connection.cursor() as cursor:
        waiting = 0
        while not waiting:
            assert time.monotonic() < deadline
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE datname = current_database() AND NOT granted"
            )
            (waiting,) = cursor.fetchone()
