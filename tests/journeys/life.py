"""A shop in Germany, one customer of it, and the staff who serve him, all of them on a clock that is moved."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from billing.models import ApiKey, Invoice, Subscription
from tests.billing.documents.sold import made_anew
from tests.billing.forms import edit_plan
from tests.billing.ledger import assert_discounted, assert_explained, assert_tiled
from tests.billing.staff import text_of
from tests.cast import Customer, Staff
from tests.journeys.papers import BILLING, Paper, look_at, staffs_file
from tests.schema import CheckedClient

SELLER = {
    "name": "Metered GmbH",
    "address": "Hauptstraße 1",
    "city": "Berlin",
    "postcode": "10115",
    "country": "DE",
    "vat_id": "DE136695976",
    "email": "billing@metered.example",
    "iban": "DE89370400440532013000",
    "payment_days": "14",
    "reverse_charge_text": "Reverse charge: VAT to be accounted for by the recipient",
}
PLAN = {"currency": "EUR", "requests_per_minute": "", "overage_price": "", "trial_days": 0, "upgrade_mode": "prorate"}
YEARLY = {"interval": "year", "monthly_token_quota": 5000, "quota_window": "calendar_month"}
METERED = {"interval": "month", "monthly_token_quota": 100, "quota_window": "billing_period", "overage_price": "50"}
PLANS: list[dict[str, Any]] = [
    METERED
    | {"code": "metered", "name": "Metered", "rank": 100, "price": 40, "overage_cap_tokens": 50, "trial_days": 14},
    YEARLY | {"code": "annual", "name": "Annual", "rank": 200, "price": 480},
    YEARLY | {"code": "annual-plus", "name": "Annual Plus", "rank": 300, "price": 720},
]


class Life:
    """Bob, the staff who serve him, and the clock of both."""

    def __init__(self, clock: Any, table: dict[str, Paper]) -> None:
        self.clock, self.table = clock, table
        self.sue = User.objects.create_superuser("sue", password="sue")
        user = get_user_model().objects.create_user("bob")
        _, key = ApiKey.issue(account=user, name="bob's key")
        self.bob = Customer(user, key, CheckedClient(headers={"authorization": f"Bearer {key}"}))
        self.files: dict[str, bytes] = {}

    @property
    def staff(self) -> Staff:
        """Logged in anew: no session lasts as long as this."""
        return Staff(self.sue)

    @property
    def subscription(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.bob.api.get(BILLING + "subscription").json()
        return answer

    @property
    def usage(self) -> tuple[int, int, int]:
        """Tokens used, the quota, and what was used above it."""
        body = self.bob.api.get("/api/v1/usage/current").json()
        return body["tokens_used"], body["quota"], (body["overage"] or {"tokens_used": 0})["tokens_used"]

    def post(self, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
        response = self.bob.post(BILLING + path, body)
        assert response.status_code == status, response.content
        self.adds_up()
        answer: dict[str, Any] = response.json()
        return answer

    def put(self, path: str, body: Any) -> dict[str, Any]:
        response = self.bob.api.put(BILLING + path, body, content_type="application/json")
        assert response.status_code == 200, response.content
        answer: dict[str, Any] = response.json()
        return answer

    @property
    def now(self) -> datetime:
        return timezone.now()

    def call(self, times: int = 1) -> int:
        """Metered calls of 10 tokens; how many were admitted."""
        return sum(self.bob.api.get("/api/v1/trace/start").status_code == 200 for _ in range(times))

    def beat(self) -> None:
        call_command("apply_downgrades", verbosity=0)

    def issued(self, *numbers: str) -> None:
        """These are the documents that there are beside the earlier ones, and each is as the table has it."""
        for number in numbers:
            self.files[number] = look_at(self.table[number], self.bob, self.staff)
        kinds = (self.bob.api.get(BILLING + kind).json()["results"] for kind in ("invoices", "credit-notes"))
        assert {row["number"] for rows in kinds for row in rows} == set(self.files)
        self.adds_up()

    def adds_up(self) -> None:
        for subscription in Subscription.objects.filter(account=self.bob.user):
            assert_tiled(subscription)
            assert_explained(subscription)
        assert_discounted(self.bob.account)

    def renews(self, instant: str, *numbers: str) -> None:
        """What was foreseen is what the period's invoice asks for."""
        self.clock.move_to(instant)
        self.clock.tick(-1)
        foreseen = self.subscription["next_invoice_amount"]
        self.clock.tick(1)
        self.beat()
        self.issued(*numbers)
        asked = float(self.table[numbers[-1]].due) if numbers else 0
        assert foreseen == asked, (foreseen, asked)

    def deactivate(self) -> None:
        fields = {"username": "bob", "first_name": "", "last_name": "", "email": ""}
        assert self.staff.send(f"auth/user/{self.bob.account}/change/", **fields).status_code == 302

    def look_the_same(self, *numbers: str) -> None:
        """Staff find the documents as they were issued, whatever has happened since."""
        made_anew()
        for number in numbers:
            assert staffs_file(self.staff, number) == self.files[number], number

    def pay(self, number: str) -> None:
        """Staff note what is due as received."""
        body = self.bob.api.get(f"{BILLING}invoices/{number}").json()
        due, pay = f"{body['amount_due']:.2f}", f"billing/invoice/{Invoice.objects.get(number=number).pk}/pay/"
        assert f"{due} EUR is due on it" in text_of(self.staff.open(pay))
        fields = {"amount": due, "received_on": body["issued_at"][:10], "reference": f"bank {number}"}
        assert self.staff.send(pay, **fields).status_code == 302
        assert self.bob.api.get(f"{BILLING}invoices/{number}").json()["amount_due"] == 0
        self.adds_up()


def open_shop(staff: Staff) -> None:
    """Staff fill in who sells what, and at which tax."""

    def add(kind: str, **fields: Any) -> None:
        answer = staff.send(f"billing/{kind}/add/", **fields)
        assert answer.status_code == 302, answer.context["adminform"].errors

    add("seller", **SELLER)
    for percent, since in (("19", "2033-01-01"), ("20", "2033-05-01")):
        add("taxrate", country="DE", name="VAT", percent=percent, valid_from_0=since, valid_from_1="00:00:00")
    assert edit_plan(staff, "community", currency="EUR").status_code == 302
    for plan in PLANS:
        add("plan", **PLAN | plan)
    add("coupon", code="HALF", name="Half price", percent="50", periods="2", is_on_sale="on")
    add("coupon", code="YEAR10", name="A year", percent="10", periods="1", is_on_sale="on")
    add("tokenpack", code="fifty", name="Fifty", tokens=50, price=10, currency="EUR", valid_days=10, is_on_sale="on")
