"""manage.py apply_downgrades."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

import billing
from billing.management.arguments import parsed_time
from billing.models import BillingPeriod, Invoice, InvoiceLine, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.closers import asking_to_shut, closing_processes, gates, many_due, waiting_for_numbers
from tests.billing.sale import sell
from tests.billing.waiting import until
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
CHECKOUT = Path(billing.__file__).resolve().parent.parent
MANY = 4 * renewal.BATCH


def apply(*arguments: str) -> str:
    out = io.StringIO()
    call_command("apply_downgrades", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def ledger() -> list[Any]:
    return [
        list(Subscription.objects.order_by("pk").values()),
        list(BillingPeriod.objects.order_by("pk").values()),
        list(Invoice.objects.order_by("pk").values()),
        list(InvoiceLine.objects.order_by("pk").values()),
    ]


@pytest.fixture
def three(customer: Callable[..., Customer]) -> Iterator[Any]:
    """October's bob, carol with a downgrade to starter scheduled, and alice, who pays nothing; a clock at its end."""
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        customer("bob", "starter")
        customer("carol", "pro").post("/api/v1/billing/downgrade", {"target_plan": "starter"})
        customer("alice", "community")
        clock.move_to("2025-11-01T00:00:00Z")
        yield clock


def test_it_renews_applies_what_is_scheduled_and_invoices(three: Any) -> None:
    assert apply() == (
        "3 subscriptions renewed (1 with a change of plan), 3 periods opened, 2 invoices issued, "
        "0 parked for staff, 0 failed\n"
    )
    plans = Subscription.objects.order_by("account__username").values_list("account__username", "plan__code")
    assert list(plans) == [("alice", "community"), ("bob", "starter"), ("carol", "starter")]
    assert [invoice.total for invoice in Invoice.objects.filter(issued_at=timezone.now())] == [29, 29]


def test_again_it_finds_nothing_to_do(three: Any) -> None:
    apply()
    before = ledger()
    assert apply().startswith("0 subscriptions renewed")
    assert ledger() == before


def test_a_dry_run_says_it_all_and_writes_nothing(three: Any) -> None:
    sell("tokyo", "1200", currency="JPY")
    Subscription.objects.filter(account__username="alice").update(plan=Plan.objects.get(code="tokyo"))
    before = ledger()
    assert apply("--dry-run") == (
        "dry run, nothing was written: 3 subscriptions would renew (1 with a change of plan), 3 periods open, "
        "3 invoices of 1200 JPY, 58.00 USD before balances, 0 would be parked for staff, 0 would fail\n"
    )
    assert ledger() == before


def test_a_dry_run_foresees_what_the_run_does(three: Any) -> None:
    three.move_to("2026-02-01T00:00:00Z")
    foreseen = apply("--dry-run")
    done = apply()
    for count in ("3 subscriptions", "1 with a change", "12 periods", "8 invoices"):
        assert count in foreseen
        assert count in done


def test_a_microsecond_before_the_end_nothing_is_due(three: Any) -> None:
    three.move_to("2025-10-31T23:59:59.999999Z")
    assert apply().startswith("0 subscriptions renewed")
    assert apply("--at", "2025-11-01").startswith("3 subscriptions renewed")


def test_without_a_zone_the_time_is_utc() -> None:
    for text in ("2025-11-01", "2025-11-01T00:00:00", " 2025-11-01T01:00:00+01:00", "2025-10-31T19:00-05", "20251101"):
        assert parsed_time(text) == datetime(2025, 11, 1, tzinfo=UTC)


def test_a_time_ahead_closes_early_and_says_so(three: Any) -> None:
    three.move_to("2025-10-15T00:00:00Z")
    told = io.StringIO()
    call_command("apply_downgrades", "--at", "2025-11-01", stdout=io.StringIO(), stderr=told)
    assert told.getvalue() == "--at 2025-11-01 lies ahead: periods are closed before they end\n"
    assert BillingPeriod.objects.filter(number=1).count() == 3


def test_a_time_that_is_none_or_too_far_ahead_changes_nothing(three: Any) -> None:
    before = ledger()
    for at in ("", "soon", "2025-13-01", "0001-01-01T00:00:00+14:00", "2026-11-02T00:00:01Z", "9999-12-31"):
        with pytest.raises(CommandError, match=r"^--at"):
            apply("--at", at)
    assert ledger() == before


def broken(name: str) -> int:
    """Take away what the close of the customer's period builds upon."""
    subscription = Subscription.objects.get(account__username=name)
    Subscription.objects.filter(pk=subscription.pk).update(anchor_number=7)  # no period follows the last one
    return int(subscription.pk)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_one_that_fails_is_told_and_stops_nobody(three: Any, options: tuple[str, ...]) -> None:
    out, faulty = io.StringIO(), broken("bob")
    with pytest.raises(CommandError) as error:
        call_command("apply_downgrades", *options, stdout=out, stderr=io.StringIO())
    assert str(error.value).splitlines()[0] == "1 subscriptions failed"
    assert str(error.value).splitlines()[1].startswith(f"subscription {faulty}: ")
    assert "2 subscriptions" in out.getvalue()


def test_of_many_failures_twenty_are_told(customer: Callable[..., Customer]) -> None:
    many_due(23, Plan.objects.first() or sell("free", "0"))
    BillingPeriod.objects.all().delete()
    with pytest.raises(CommandError) as error:
        apply("--at", "2025-11-01")
    told = str(error.value).splitlines()
    assert (told[0], len(told), told[-1]) == ("23 subscriptions failed", 22, "and 3 more")


def test_what_looks_wrong_is_parked_and_told(three: Any, settings: LazySettings) -> None:
    settings.LARGEST_INVOICE = 28
    assert "2 would be parked" in apply("--dry-run")
    assert "2 parked" in apply()
    assert Subscription.objects.filter(parked_at=timezone.now()).count() == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_only(three: Any) -> None:
    terminal = Terminal()
    call_command("apply_downgrades", "--dry-run", stdout=io.StringIO(), stderr=terminal)
    assert terminal.getvalue() == f"\r[{'#' * 30}] 3 of 3\n"
    quiet, elsewhere = Terminal(), io.StringIO()
    call_command("apply_downgrades", "--dry-run", verbosity=0, stdout=io.StringIO(), stderr=quiet)
    call_command("apply_downgrades", stdout=io.StringIO(), stderr=elsewhere)
    assert quiet.getvalue() == elsewhere.getvalue() == ""


@pytest.fixture
def start() -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start manage.py apply_downgrades as an operator does, on this test's database."""
    started: list[subprocess.Popen[str]] = []

    def one() -> subprocess.Popen[str]:
        started.append(process())
        return started[-1]

    yield one
    for child in started:
        child.kill()
        child.communicate()


def process() -> subprocess.Popen[str]:
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    return subprocess.Popen(
        [sys.executable, "manage.py", "apply_downgrades", "--at", "2025-11-01"],
        cwd=CHECKOUT,
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "x", "DATABASE_URL": database},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.django_db(transaction=True)
def test_two_at_once_and_one_killed_halfway_close_each_period_once(
    catalogue: None, start: Callable[[], subprocess.Popen[str]]
) -> None:
    pro, starter = Plan.objects.get(code="pro"), Plan.objects.get(code="starter")
    Plan.objects.update(priced_at=datetime(2020, 1, 1, tzinfo=UTC))
    many_due(MANY, pro, starter)
    with gates() as (first, second):
        first.shut()
        killed, survivor = start(), start()
        until(lambda: waiting_for_numbers() == 2)
        # Queued behind the two: it shuts again as soon as each of them has committed one batch.
        shutting = Thread(target=second.shut)
        shutting.start()
        until(lambda: asking_to_shut() == 1)
        first.open()
        shutting.join()
        until(lambda: waiting_for_numbers() == 2)
        assert BillingPeriod.objects.filter(number=1).count() == MANY / 2
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        second.open()
        told, errors = survivor.communicate()
        # Its backend notices when it has something to say, and gives up what it has not committed.
        until(lambda: closing_processes() == 0)
    assert (survivor.returncode, errors) == (0, "")
    restarted = start()
    assert "0 failed" in restarted.communicate()[0]
    assert restarted.returncode == 0

    periods = Counter(BillingPeriod.objects.values_list("subscription", "number"))
    assert (len(periods), set(periods.values())) == (2 * MANY, {1})
    invoices = Counter(Invoice.objects.values_list("subscription", "total"))
    assert (len(invoices), set(invoices.values())) == (MANY, {1})
    numbers = sorted(Invoice.objects.values_list("number", flat=True))
    assert numbers == [f"INV-{n:06d}" for n in range(1, MANY + 1)]
    plans = Counter(Subscription.objects.values_list("plan__code", "scheduled_plan", "period_ends_at"))
    end = datetime(2025, 12, 1, tzinfo=UTC)
    assert plans == {("pro", None, end): MANY / 2, ("starter", None, end): MANY / 2}
    assert "0 failed" in told
    assert "subscriptions a second" in told
