"""A customer's year, over HTTP: every invoice against numbers worked out by hand.

Alice signs up on January 31st at 10:00 UTC, so her periods start on the 31st or on the month's last day.

    INV  issued      for              lines                                              total
     1   2025-01-31  Jan 31 - Feb 28  28 of 28 days of starter: 29.00                    29.00
     2   2025-02-14  Feb 14 - Feb 28  14 of 28 days: pro 24.50, starter -14.50           10.00
     3   2025-02-28  Feb 28 - Mar 31  pro                                                49.00
     4   2025-03-10  Mar 10 - Mar 31  21 of 31 days: business 67.0645.., pro -33.1935..  33.87
     5   2025-03-31  Mar 31 - Apr 30  business                                           99.00
     6   2025-04-30  Apr 30 - May 31  business                                           99.00
     7   2025-06-02  May 31 - Jun 30  pro, by a beat that is two days late               49.00
     8   2025-06-30  Jun 30 - Jul 31  pro 49.00, balance of credit note 1 -20.00         29.00
     9   2025-09-05  Jul 31 - Aug 31  pro at 59, by a beat that is a month late          59.00
    10   2025-09-05  Aug 31 - Sep 30  pro at 59: the edit to 69 came a second too late   59.00
    11   2025-09-30  Sep 30 - Oct 31  pro                                                69.00
    12   2025-10-31  Oct 31 - Nov 30  pro                                                69.00
    13   2025-11-30  Nov 30 - Dec 31  pro                                                69.00
    14   2025-12-15  Dec 15 - Dec 31  16 of 31 days: starter 14.9677.., pro -35.6129..  -20.64
    15   2025-12-31  Dec 31 - Jan 31  starter 29.00, balance -20.64                       8.36
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils import timezone

from billing.invoicing import credit_notes
from billing.models import ApiKey, Invoice, Plan, Subscription
from tests.billing.ledger import assert_explained, assert_tiled, hand_over, pay
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.schema import CheckedClient
from usage.drain import drain

BILLING = "/api/v1/billing/"

# number, date of issue, status, (description, amount, from, to) of each line, total
INVOICES: list[tuple[int, str, str, list[tuple[str, str, str, str]], str]] = [
    (1, "2025-01-31", "paid", [("Remaining time on Starter", "29.00", "01-31", "02-28")], "29.00"),
    (
        2,
        "2025-02-14",
        "paid",
        [
            ("Unused time on Starter", "-14.50", "02-14", "02-28"),
            ("Remaining time on Pro", "24.50", "02-14", "02-28"),
        ],
        "10.00",
    ),
    (3, "2025-02-28", "paid", [("Pro", "49.00", "02-28", "03-31")], "49.00"),
    (
        4,
        "2025-03-10",
        "paid",
        [
            ("Unused time on Pro", "-33.19", "03-10", "03-31"),
            ("Remaining time on Business", "67.06", "03-10", "03-31"),
        ],
        "33.87",
    ),
    (5, "2025-03-31", "paid", [("Business", "99.00", "03-31", "04-30")], "99.00"),
    (6, "2025-04-30", "paid", [("Business", "99.00", "04-30", "05-31")], "99.00"),
    (7, "2025-06-02", "paid", [("Pro", "49.00", "05-31", "06-30")], "49.00"),
    (
        8,
        "2025-06-30",
        "paid",
        [("Pro", "49.00", "06-30", "07-31"), ("Balance from earlier credits", "-20.00", "06-30", "07-31")],
        "29.00",
    ),
    (9, "2025-09-05", "paid", [("Pro", "59.00", "07-31", "08-31")], "59.00"),
    (10, "2025-09-05", "paid", [("Pro", "59.00", "08-31", "09-30")], "59.00"),
    (11, "2025-09-30", "paid", [("Pro", "69.00", "09-30", "10-31")], "69.00"),
    (12, "2025-10-31", "paid", [("Pro", "69.00", "10-31", "11-30")], "69.00"),
    (13, "2025-11-30", "paid", [("Pro", "69.00", "11-30", "12-31")], "69.00"),
    (
        14,
        "2025-12-15",
        "paid",
        [
            ("Unused time on Pro", "-35.61", "12-15", "12-31"),
            ("Remaining time on Starter", "14.97", "12-15", "12-31"),
        ],
        "-20.64",
    ),
    (
        15,
        "2025-12-31",
        "open",
        [("Starter", "29.00", "12-31", "01-31"), ("Balance from earlier credits", "-20.64", "12-31", "01-31")],
        "8.36",
    ),
]


def sign_up() -> Customer:
    user = get_user_model().objects.create_user("alice")
    _, key = ApiKey.issue(account=user, name="alice's key")
    return Customer(user, key, CheckedClient(headers={"authorization": f"Bearer {key}"}))


def beat() -> None:
    call_command("apply_downgrades", verbosity=0)


def pay_everything(alice: Customer) -> None:
    for invoice in Invoice.objects.filter(account=alice.account, status=Invoice.Status.OPEN):
        pay(invoice, invoice.due, timezone.now(), f"bank-{invoice.number}")


def edit_price(code: str, price: int) -> None:
    plan = Plan.objects.get(code=code)
    plan.price = Decimal(price)
    plan.save()


def subscription(alice: Customer) -> dict[str, Any]:
    answer: dict[str, Any] = alice.api.get(BILLING + "subscription").json()
    return answer


def change(alice: Customer, way: str, target: str, status: int = 200) -> dict[str, Any]:
    response = alice.post(BILLING + way, {"target_plan": target})
    assert response.status_code == status, response.content
    answer: dict[str, Any] = response.json()
    return answer


def winter(alice: Customer, clock: Any) -> None:
    """Sign-up, upgrades, and a downgrade that is refused."""
    opened = subscription(alice)
    assert (opened["plan"], opened["current_period_start"]) == ("community", "2025-01-31T10:00:00Z")
    assert change(alice, "upgrade", "starter")["prorated_amount"] == 29.00
    clock.move_to("2025-02-14T15:00:00Z")
    assert change(alice, "upgrade", "pro")["prorated_amount"] == 10.00
    clock.move_to("2025-02-28T10:00:00Z")
    beat()
    clock.move_to("2025-03-10T08:00:00Z")
    upgraded = change(alice, "upgrade", "business")
    assert (upgraded["prorated_amount"], upgraded["invoice"]) == (33.87, "INV-000004")
    clock.move_to("2025-03-20T12:00:00Z")
    assert alice.post("/api/v1/usage/track", {"feature": "ai_agent_query"}).status_code == 200
    drain.drain()
    clock.move_to("2025-03-25T12:00:00Z")
    refused = change(alice, "downgrade", "starter", 400)
    assert refused["detail"] == "Cannot downgrade. Active features: ai_agents"
    assert (refused["code"], refused["active_features"]) == ("active_features", ["ai_agents"])
    assert subscription(alice)["scheduled_plan"] is None
    clock.move_to("2025-03-31T10:00:00Z")
    beat()


def spring(alice: Customer, clock: Any) -> None:
    """A downgrade that is allowed, and cancelled; a new price, which the open period does not feel; a late beat."""
    clock.move_to("2025-04-25T12:00:00Z")
    scheduled = change(alice, "downgrade", "starter")
    assert (scheduled["effective_date"], scheduled["days_until_downgrade"]) == ("2025-04-30", 5)
    clock.move_to("2025-04-26T12:00:00Z")
    assert alice.api.delete(BILLING + "downgrade").status_code == 204
    clock.move_to("2025-04-30T10:00:00Z")
    beat()
    pay_everything(alice)
    clock.move_to("2025-05-05T09:00:00Z")
    edit_price("business", 119)
    standing = subscription(alice)
    assert (standing["plan"], standing["period_price"], standing["next_invoice_amount"]) == ("business", 99.00, 119.00)
    clock.move_to("2025-05-20T12:00:00Z")
    change(alice, "downgrade", "pro")
    assert subscription(alice)["next_invoice_amount"] == 49.00
    clock.move_to("2025-05-31T09:59:59Z")
    assert alice.api.get("/api/v1/usage/current").json()["plan"] == "business"
    clock.move_to("2025-05-31T10:00:00Z")
    assert alice.api.get("/api/v1/usage/current").json()["plan"] == "pro"
    assert subscription(alice)["plan"] == "pro"
    clock.move_to("2025-06-02T10:00:00Z")
    beat()


def summer(alice: Customer, clock: Any) -> None:
    """A credit note that becomes a balance; a beat that misses two periods between two new prices."""
    clock.move_to("2025-06-15T12:00:00Z")
    pay_everything(alice)
    credit_notes.credit(Invoice.objects.get(number="INV-000007"), Decimal(20), "outage", timezone.now())
    standing = subscription(alice)
    assert (standing["balance"], standing["next_invoice_amount"]) == (20.00, 29.00)
    clock.move_to("2025-06-30T10:00:00Z")
    beat()
    clock.move_to("2025-07-10T12:00:00Z")
    edit_price("pro", 59)
    clock.move_to("2025-08-31T10:00:01Z")
    edit_price("pro", 69)
    clock.move_to("2025-09-05T07:00:00Z")
    assert subscription(alice)["period_price"] == 59.00
    beat()


def autumn(alice: Customer, clock: Any) -> None:
    """Plain renewals; staff put her on a lower plan at once, and what was paid for it pays for the next period."""
    for day in ("09-30", "10-31", "11-30"):
        clock.move_to(f"2025-{day}T10:00:00Z")
        beat()
    pay_everything(alice)
    clock.move_to("2025-12-15T10:00:00Z")
    hand_over(Subscription.objects.get(account=alice.account), Plan.objects.get(code="starter"), timezone.now())
    standing = subscription(alice)
    assert (standing["balance"], standing["next_invoice_amount"]) == (20.64, 8.36)
    clock.move_to("2025-12-31T10:00:00Z")
    beat()


@pytest.mark.django_db(transaction=True)
def test_a_year() -> None:
    with moved_by_hand("2025-01-31T10:00:00Z") as clock:
        call_command("seed_catalogue", verbosity=0)
        alice = sign_up()
        winter(alice, clock)
        spring(alice, clock)
        summer(alice, clock)
        autumn(alice, clock)
        clock.move_to("2026-01-31T09:59:59Z")
        beat()
        answers = alice.api.get(BILLING + "invoices").json()["results"]
    live = Subscription.objects.get(account=alice.account)
    assert_tiled(live)
    assert_explained(live)
    assert [as_expected(answer) for answer in reversed(answers)] == INVOICES


def as_expected(answer: dict[str, Any]) -> tuple[int, str, str, list[tuple[str, str, str, str]], str]:
    rows = [
        (line["description"], f"{line['amount']:.2f}", line["period_start"][5:10], line["period_end"][5:10])
        for line in answer["lines"]
    ]
    number = int(answer["number"].removeprefix("INV-"))
    return number, answer["issued_at"][:10], answer["status"], rows, f"{answer['total']:.2f}"
