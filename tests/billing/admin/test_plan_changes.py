"""Staff change a plan now in the admin: the preview, its confirmation, and what the API would have charged."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from freezegun import freeze_time

from billing.invoicing import credit_notes, ledger
from billing.models import Invoice, Plan, Subscription
from billing.rules.money import in_currency
from billing.subscriptions import changes, refusals
from billing.subscriptions.previews import calculate_proration
from tests.billing.ledger import assert_explained, fresh, invoices, lines
from tests.billing.staff import IN_USE, confirm, confirmation, on_starter_since_october, page, shown, text_of, told
from tests.cast import Customer, Staff, call
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def october(catalogue: None) -> Subscription:
    return on_starter_since_october()


def test_the_preview_shows_what_the_api_would_charge_and_confirming_charges_it(
    superuser: Staff, october: Subscription
) -> None:
    with freeze_time("2025-10-16 12:00:00") as clock:
        quote = calculate_proration(october.account_id, Plan.objects.get(code="pro"), timezone.now()).proration
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=pro"))
        for part, value in (("credit", quote.credit), ("charge", quote.charge), ("net", quote.net)):
            assert f'<dd id="{part}">{value} USD</dd>' in text
        assert (quote.credit, quote.charge, quote.net) == (Decimal("14.97"), Decimal("25.29"), Decimal("10.32"))
        assert '<dd id="days">16 of 31 days</dd>' in text
        assert "Unused time on Starter" in text and "Remaining time on Pro" in text
        assert Invoice.objects.count() == 1 and fresh(october).plan.code == "starter", "nothing is kept"
        clock.tick(60)
        assert "Changed from Starter to Pro: 10.32 USD, invoice INV-000002" in told(
            confirm(superuser, october, confirmation(text))
        )
    invoice = invoices(october)[-1]
    assert (invoice.number, invoice.total) == ("INV-000002", quote.net)
    assert lines(invoice) == [("credit", -quote.credit), ("charge", quote.charge)]
    assert fresh(october).plan.code == "pro"
    assert_explained(october)


def test_the_charge_is_that_of_the_apis_upgrade(superuser: Staff, customer: Callable[..., Customer]) -> None:
    with freeze_time("2025-10-01"):
        by_api, by_staff = customer("ann", "starter"), customer("ben", "starter")
    with freeze_time("2025-10-16"):
        answer = by_api.post("/api/v1/billing/upgrade", {"target_plan": "business"}).json()
        subscription = Subscription.objects.get(account=by_staff.user)
        confirm(superuser, subscription, shown(superuser, subscription, "business"))
    assert Decimal(str(answer["prorated_amount"])) == invoices(subscription)[-1].total
    theirs = Subscription.objects.get(account=by_api.user)
    assert lines(invoices(theirs)[-1]) == lines(invoices(subscription)[-1])


def test_a_lower_plan_now_gives_back_and_warns_of_what_is_in_use(
    superuser: Staff, october: Subscription, settings: Any
) -> None:
    settings.BILLING_ACTIVE_FEATURES = IN_USE
    with freeze_time("2025-10-16"):
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=community"))
        assert "In active use, and not included in the new plan: investigator" in text
        assert "Total -14.97 USD" in text and "owed to the customer" in text
        confirm(superuser, october, confirmation(text))
    assert fresh(october).plan.code == "community"
    assert ledger.balance(october.account_id, "USD") == Decimal("14.97")
    assert_explained(october)


@committed
def test_the_new_limits_hold_on_the_next_call(superuser: Staff, alice: Customer) -> None:
    assert not call(alice, "graph_query").entitled
    subscription = Subscription.objects.get(account=alice.user)
    text = text_of(superuser.open(f"{page(subscription, 'change_plan')}?target=pro"))
    assert "unlimited" in text and "correlation, investigator" in text
    confirm(superuser, subscription, confirmation(text))
    admission = call(alice, "graph_query")
    assert admission.admitted and admission.quota.limit.maximum is None


def test_a_double_submit_is_one_change_and_one_invoice(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        fields = shown(superuser, october, "pro")
        confirm(superuser, october, fields)
        assert "is on Pro already" in told(confirm(superuser, october, fields))
    assert len(invoices(october)) == 2
    assert LogEntry.objects.count() == 1


@committed
def test_the_same_confirmation_many_times_at_once_is_one_invoice(superuser: Staff, bob: Customer) -> None:
    subscription = Subscription.objects.get(account=bob.user)
    fields = shown(superuser, subscription, "pro")
    cookies = superuser.client.cookies
    together = Barrier(8)

    def press(_: int) -> int:
        client = Client()
        client.cookies = cookies
        together.wait(30)
        try:
            return client.post(f"/admin/{page(subscription, 'change_plan')}", fields).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(press, range(8))) == {302}
    assert [invoice.number for invoice in invoices(subscription)] == ["INV-000001", "INV-000002"]
    assert LogEntry.objects.count() == 1
    assert_explained(subscription)


def test_another_plans_confirmation_is_not_good_after_a_change(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        to_pro, to_plus = shown(superuser, october, "pro"), shown(superuser, october, "plus")
        confirm(superuser, october, to_pro)
        again = confirm(superuser, october, to_plus)
        assert "was changed since you looked" in told(again)
        assert "from Pro to Plus now?" in text_of(again)
        confirm(superuser, october, confirmation(text_of(again)))
    assert fresh(october).plan.code == "plus"
    assert_explained(october)


def _edit_price() -> None:
    plan = Plan.objects.get(code="pro")
    plan.price = Decimal(50)
    plan.save()


def _edit_limit() -> None:
    plan = Plan.objects.get(code="pro")
    plan.requests_per_minute = 7
    plan.save()


def _schedule() -> None:
    account = Subscription.objects.get().account_id
    changes.downgrade_with_effective_date(account, Plan.objects.get(code="community"), timezone.now(), frozenset())


def _credit() -> None:
    credit_notes.credit(Invoice.objects.get(), Decimal(20), "sorry", timezone.now())


@pytest.mark.parametrize("meanwhile", [_edit_price, _edit_limit, _schedule, _credit])
def test_what_was_changed_between_preview_and_confirmation_is_shown_again(
    superuser: Staff, october: Subscription, meanwhile: Callable[[], None]
) -> None:
    with freeze_time("2025-10-16") as clock:
        fields = shown(superuser, october, "pro")
        clock.tick(1)
        meanwhile()
        clock.tick(1)
        again = confirm(superuser, october, fields)
        assert "was changed since you looked" in told(again)
        assert fresh(october).plan.code == "starter" and len(invoices(october)) == 1
        confirm(superuser, october, confirmation(text_of(again)))
    assert fresh(october).plan.code == "pro"
    assert_explained(october)


@pytest.mark.parametrize(("seconds", "made"), [(899, True), (900, True), (901, False)])
def test_a_preview_holds_for_15_minutes(superuser: Staff, october: Subscription, seconds: int, made: bool) -> None:
    # Over midnight, where the amounts would be those of another day.
    with freeze_time("2025-10-16 23:59:00") as clock:
        fields = shown(superuser, october, "pro")
        clock.tick(timedelta(seconds=seconds))
        answer = confirm(superuser, october, fields)
    assert (fresh(october).plan.code == "pro") is made
    assert ("older than 15 minutes" in told(answer)) is not made
    if made:
        assert invoices(october)[-1].total == Decimal("10.32")


@pytest.mark.parametrize("shown_at", ["", "soon", "2025-10-16T00:00:00", "2999-01-01T00:00Z", "0001-01-01T00:00+23:59"])
def test_a_confirmation_without_a_preview_shows_one(superuser: Staff, october: Subscription, shown_at: str) -> None:
    with freeze_time("2025-10-16"):
        fields = shown(superuser, october, "pro")
        assert "from Starter to Pro now?" in text_of(confirm(superuser, october, fields | {"shown_at": shown_at}))
        assert "from Starter to Pro now?" in text_of(confirm(superuser, october, {"target": "pro"}))
    assert len(invoices(october)) == 1


def test_a_period_that_ended_in_between_is_shown_again(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-31 23:59:59") as clock:
        fields = shown(superuser, october, "pro")
        clock.tick(1)
        again = confirm(superuser, october, fields)
        assert "A new period has begun" in told(again)
        # The close is late as well: what it is going to bill stands beside the change.
        assert text_of(again).count("Total ") == 2
        confirm(superuser, october, confirmation(text_of(again)))
    assert [invoice.total for invoice in invoices(october)] == [29, 29, 20]
    assert_explained(october)


def test_plans_on_offer_are_those_on_sale_that_need_not_wait(superuser: Staff, october: Subscription) -> None:
    make_plan("euro", 9, currency="EUR")
    make_plan("waiting", 9, 9_999, upgrade_mode="next_period")
    make_plan("yearly", 9, 9_999, interval="year")
    make_plan("old", 9, archived_at=timezone.now())
    with freeze_time("2025-10-16"):
        text = text_of(superuser.open(page(october, "change_plan")))
        assert re.findall(r"\?target=(\w+)", text) == ["community", "pro", "business", "plus", "enterprise", "yearly"]
        for code, message in (
            ("euro", "can only follow when the present period ends"),
            ("waiting", "can only follow when the present period ends"),
            ("old", "No such plan is on sale"),
            ("none", "No such plan is on sale"),
            ("starter", "is on Starter already"),
        ):
            answer = superuser.client.get(f"/admin/{page(october, 'change_plan')}?target={code}", follow=True)
            assert message in told(answer), code
    assert len(invoices(october)) == 1


def test_an_invoice_that_a_customer_would_be_refused_is_staffs_to_decide(
    superuser: Staff, october: Subscription
) -> None:
    with override_settings(LARGEST_INVOICE=5), freeze_time("2025-10-16"):
        with pytest.raises(refusals.UnderReview):
            changes.upgrade(october.account_id, Plan.objects.get(code="pro"), timezone.now())
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=pro"))
        assert "A customer could not make this change" in text
        confirm(superuser, october, confirmation(text))
    assert fresh(october).plan.code == "pro"


@pytest.mark.parametrize(("currency", "price", "net"), [("JPY", 1000, "516 JPY"), ("KWD", "10.505", "5.422 KWD")])
def test_amounts_have_their_currencys_decimals(superuser: Staff, currency: str, price: Any, net: str) -> None:
    free, dear = make_plan("free", 0, currency=currency), make_plan("dear", price, 1, currency=currency)
    with freeze_time("2025-10-01"):
        subscription = make_subscription(free, timezone.now())
    with freeze_time("2025-10-16"):
        text = text_of(superuser.open(f"{page(subscription, 'change_plan')}?target={dear.code}"))
        assert f'<dd id="net">{net}</dd>' in text
        confirm(superuser, subscription, confirmation(text))
    assert f"{in_currency(invoices(subscription)[-1].total, currency)} {currency}" == net


def test_to_a_longer_interval_the_preview_says_that_a_period_begins(superuser: Staff, october: Subscription) -> None:
    make_plan("yearly", 290, 9_999, interval="year")
    with freeze_time("2025-10-16"):
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=yearly"))
        assert "Period (begins now)" in text
        assert "2025-10-16 00:00:00 to 2026-10-16 00:00:00" in text
        answer = confirm(superuser, october, confirmation(text))
    assert "Changed from Starter to Yearly: 275.03 USD" in told(answer)
    assert fresh(october).period_ends_at == at("2026-10-16")


def test_what_waits_for_the_periods_end_can_be_scheduled(superuser: Staff, october: Subscription) -> None:
    for code, terms in (("euro", {"currency": "EUR"}), ("waiting", {"upgrade_mode": "next_period"})):
        make_plan(code, 9, 9_999, **terms)
    with freeze_time("2025-10-16"):
        text = text_of(superuser.open(page(october, "schedule_downgrade")))
        assert re.findall(r'name="target" value="(\w+)"', text) == ["community", "euro", "waiting"]
        assert "scheduled for 2025-11-01" in told(confirm(superuser, october, {"target": "euro"}, "schedule_downgrade"))
