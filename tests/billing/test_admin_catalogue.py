"""The admin's pages of the catalogue: what staff edit there holds for the next call."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from billing import sale, snapshots
from billing.models import Capability, Feature, Fence, Plan, Route
from ratelimit import keys
from ratelimit.limits import Outcome
from ratelimit.store import client as redis_client
from tests.billing.conftest import Staff, call
from tests.conftest import Customer

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


def form_of(plan: Plan, **changes: Any) -> dict[str, Any]:
    """What the browser sends when `changes` were typed into the plan's form."""
    fields: dict[str, Any] = {
        "name": plan.name,
        "rank": plan.rank,
        "price": plan.price,
        "currency": plan.currency,
        "interval": plan.interval,
        "monthly_token_quota": "" if plan.monthly_token_quota is None else plan.monthly_token_quota,
        "requests_per_minute": "" if plan.requests_per_minute is None else plan.requests_per_minute,
        "quota_window": plan.quota_window,
        "capabilities": list(plan.capabilities.values_list("pk", flat=True)),
    }
    return fields | changes


def edit(superuser: Staff, code: str, /, **changes: Any) -> Any:
    plan = Plan.objects.get(code=code)
    return superuser.send(f"billing/plan/{plan.pk}/change/", **form_of(plan, **changes))


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "the form was accepted"
    return dict(response.context["adminform"].errors)


def press(superuser: Staff, plan: Plan, button: str) -> Any:
    return superuser.send(f"billing/plan/{plan.pk}/{button}/", _form_submitted="True")


def told(subject_key: str) -> int:
    return int(redis_client().get(subject_key) or 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("page", ["plan", "feature", "route", "capability"])
def test_every_page_opens(superuser: Staff, catalogue: None, page: str) -> None:
    model = {"plan": Plan, "feature": Feature, "route": Route, "capability": Capability}[page]
    row = model.objects.all()[0]  # type: ignore[attr-defined]
    for address in ("", "?q=a", "add/", f"{row.pk}/change/", f"{row.pk}/history/"):
        assert superuser.open(f"billing/{page}/{address}").status_code == 200, address


def test_the_list_says_unlimited_and_shows_price_and_subscribers(superuser: Staff, bob: Customer) -> None:
    text = superuser.open("billing/plan/").content.decode().replace("\N{NO-BREAK SPACE}", " ")
    assert "29.00 USD / month" in text
    assert "unlimited" in text
    starter = sale.with_subscribers(Plan.objects.filter(code="starter")).get()
    assert f"plan__id__exact={starter.pk}&amp;status__exact=active" in text
    assert (starter.subscribers, starter.arriving) == (1, 0)  # type: ignore[attr-defined]


def test_the_form_says_that_blank_means_unlimited(superuser: Staff, catalogue: None) -> None:
    text = superuser.open("billing/plan/add/").content.decode()
    assert text.count("Blank means unlimited; 0 means none.") == 2
    assert text.count('placeholder="unlimited"') == 2


def test_the_form_says_whom_an_edit_reaches_and_from_when(superuser: Staff, bob: Customer) -> None:
    text = superuser.open(f"billing/plan/{Plan.objects.get(code='starter').pk}/change/").content.decode()
    assert "An edit reaches 1 subscriber." in text
    assert "within a second" in text
    assert "from each subscriber's next period" in text


@committed
def test_a_quota_edited_to_nothing_refuses_the_next_call(superuser: Staff, alice: Customer) -> None:
    assert call(alice, "trace_start").admitted
    assert edit(superuser, "community", monthly_token_quota=10).status_code == 302
    refused = call(alice, "trace_start")
    assert refused.decision.outcome is Outcome.REFUSED
    assert refused.quota.limit.maximum == 10


@committed
def test_a_blank_quota_is_unlimited_for_the_next_call(superuser: Staff, alice: Customer) -> None:
    edit(superuser, "community", monthly_token_quota=0)
    assert not call(alice, "trace_start").admitted
    edit(superuser, "community", monthly_token_quota="")
    admission = call(alice, "trace_start")
    assert admission.admitted
    assert admission.quota.limit.maximum is None


@committed
def test_a_minute_limit_holds_for_the_next_call(superuser: Staff, alice: Customer) -> None:
    assert call(alice).admitted
    edit(superuser, "community", requests_per_minute=2)
    assert call(alice).admitted
    assert not call(alice).admitted
    edit(superuser, "community", requests_per_minute="")
    assert call(alice).minute is None


@committed
def test_an_edit_of_nothing_but_the_capabilities_is_told_to_redis_at_once(superuser: Staff, alice: Customer) -> None:
    assert not call(alice, "graph_query").entitled
    before = Fence.objects.get(subject=0).version
    edit(superuser, "community", capabilities=[Capability.objects.get(code="investigator").pk])
    fence = Fence.objects.get(subject=0)
    assert fence.version > before
    assert fence.pushed == fence.version
    assert {told(keys.catalogue_fence(shard)) for shard in range(64)} == {fence.version}
    assert call(alice, "graph_query").admitted


@committed
def test_a_features_cost_and_route_hold_for_the_next_call(superuser: Staff, alice: Customer) -> None:
    feature = Feature.objects.get(code="trace_start")
    route = feature.routes.get()
    inline: dict[str, Any] = {
        "routes-TOTAL_FORMS": 2,
        "routes-INITIAL_FORMS": 1,
        "routes-0-id": route.pk,
        "routes-0-feature": feature.pk,
        "routes-0-path": route.path,
        "routes-0-method": "",
        "routes-1-feature": feature.pk,
        "routes-1-path": "/API/v2//Trace/",
        "routes-1-method": "POST",
    }
    page = f"billing/feature/{feature.pk}/change/"
    assert superuser.send(page, name="Trace", tokens=99, capability="", **inline).status_code == 302
    assert call(alice, "trace_start").admitted, "99 of 100 are left"
    present = snapshots.catalogue()
    assert present.features["trace_start"].tokens == 99
    metered = present.feature_at("POST", "/api/v2/trace/7")
    assert metered is not None and metered.code == "trace_start"
    assert present.feature_at("GET", "/api/v2/trace/7") is None


def test_two_spellings_of_one_path_are_an_error_of_the_form(superuser: Staff, catalogue: None) -> None:
    feature = Feature.objects.get(code="trace_start")
    inline = {"routes-TOTAL_FORMS": 2, "routes-INITIAL_FORMS": 0}
    inline |= {f"routes-{row}-method": "" for row in (0, 1)}  # type: ignore[misc]
    paths = {"routes-0-path": "/api/v2/Trace", "routes-1-path": "/api//v2/trace/"}
    response = superuser.send(f"billing/feature/{feature.pk}/change/", tokens=1, **inline, **paths)
    assert response.status_code == 200
    assert "Please correct the duplicate data" in response.content.decode()


def test_a_path_already_routed_is_an_error_of_the_form(superuser: Staff, catalogue: None) -> None:
    feature = Feature.objects.get(code="trace_start")
    response = superuser.send("billing/route/add/", path="/API/v1/risk/score/", method="", feature=feature.pk)
    assert "already exists" in str(errors(response))
    response = superuser.send("billing/route/add/", path="https://example.com/x", method="", feature=feature.pk)
    assert "Give a path such as" in str(errors(response))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("price", "-0.01", "greater than or equal to 0"),
        ("price", "29.999", "USD has 2 decimals"),
        ("price", "NaN", "Enter a number"),
        ("price", "1e99", "no more than"),
        ("currency", "XXQ", "unknown currency"),
        ("monthly_token_quota", "-1", "greater than or equal to 0"),
        ("monthly_token_quota", str(2**60), "less than or equal to"),
        ("monthly_token_quota", "many", "whole number"),
        ("requests_per_minute", "-1", "greater than or equal to 0"),
        ("requests_per_minute", "1000001", "less than or equal to 1000000"),
        ("rank", "-1", "greater than or equal to 0"),
        ("quota_window", "week", "not one of the available choices"),
        ("capabilities", ["0"], "not one of the available choices"),
    ],
)
def test_a_wrong_value_is_named_at_its_field(
    superuser: Staff, catalogue: None, field: str, value: Any, message: str
) -> None:
    found = errors(edit(superuser, "starter", **{field: value}))
    assert list(found) == [field]
    assert message in str(found[field])


@pytest.mark.parametrize(("price", "currency", "accepted"), [("10.5", "jpy", False), ("10.505", "kwd", True)])
def test_a_new_plan_is_priced_in_its_currencys_decimals(
    superuser: Staff, db: None, price: str, currency: str, accepted: bool
) -> None:
    fields = {"name": "Basic", "code": "basic", "rank": 5, "interval": "year", "quota_window": "calendar_month"}
    response = superuser.send("billing/plan/add/", **fields, price=price, currency=currency)
    assert (response.status_code == 302) is accepted
    if accepted:
        plan = Plan.objects.get(code="basic")
        assert (plan.price, plan.currency) == (Decimal(price), currency.upper())
        assert (plan.monthly_token_quota, plan.requests_per_minute) == (None, None)


def test_the_code_is_read_only_once_the_plan_exists(superuser: Staff, catalogue: None) -> None:
    edit(superuser, "starter", code="renamed", is_default="on", archived_at_0="2020-01-01", archived_at_1="00:00")
    starter = Plan.objects.get(code="starter")
    assert (starter.is_default, starter.archived_at) == (False, None)


def test_currency_and_interval_stay_once_somebody_subscribed(superuser: Staff, bob: Customer) -> None:
    edit(superuser, "starter", currency="EUR", interval="year")
    edit(superuser, "plus", currency="EUR", interval="year")
    assert Plan.objects.filter(currency="EUR", interval="year").values_list("code", flat=True).get() == "plus"


def test_a_plan_can_be_archived_but_not_deleted(superuser: Staff, catalogue: None) -> None:
    plus = Plan.objects.get(code="plus")
    assert superuser.send(f"billing/plan/{plus.pk}/delete/", post="yes").status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": plus.pk, "post": "yes"}
    superuser.client.post("/admin/billing/plan/", deletion)
    assert press(superuser, plus, "archive").status_code == 302
    plus.refresh_from_db()
    assert plus.archived_at is not None
    press(superuser, plus, "put_on_sale")
    plus.refresh_from_db()
    assert plus.archived_at is None
    assert LogEntry.objects.filter(object_id=plus.pk).count() == 2


def test_a_button_asks_before_it_acts(superuser: Staff, catalogue: None) -> None:
    plus = Plan.objects.get(code="plus")
    text = superuser.open(f"billing/plan/{plus.pk}/archive/").content.decode()
    assert "Its subscribers keep it." in text
    plus.refresh_from_db()
    assert plus.archived_at is None


def test_after_htmx_posted_the_dialog_the_browser_goes_on_by_itself(superuser: Staff, catalogue: None) -> None:
    plus = Plan.objects.get(code="plus")
    answer = superuser.client.post(
        f"/admin/billing/plan/{plus.pk}/archive/", {"_form_submitted": "True"}, headers={"HX-Request": "true"}
    )
    assert (answer.status_code, answer["HX-Redirect"]) == (200, f"/admin/billing/plan/{plus.pk}/change/")


def test_the_default_plan_moves_and_cannot_be_archived(superuser: Staff, catalogue: None) -> None:
    community, starter = Plan.objects.get(code="community"), Plan.objects.get(code="starter")
    assert press(superuser, community, "archive").status_code == 403
    press(superuser, starter, "make_default")
    assert Plan.objects.get(is_default=True) == starter
    press(superuser, community, "archive")
    assert press(superuser, community, "make_default").status_code == 403
    assert Plan.objects.get(is_default=True) == starter


@pytest.mark.parametrize("change", [sale.archive, sale.make_default])
def test_what_cannot_be_sold_so_is_refused_with_what_to_do(catalogue: None, change: Callable[..., Plan]) -> None:
    from django.utils import timezone

    default, plus = Plan.objects.get(is_default=True), Plan.objects.get(code="plus")
    sale.archive(plus.pk, timezone.now())
    arguments = (default.pk, timezone.now()) if change is sale.archive else (plus.pk,)
    with pytest.raises(sale.NotForSale, match=r"first\.|before"):
        change(*arguments)


def test_history_says_who_changed_what(superuser: Staff, catalogue: None) -> None:
    edit(superuser, "starter", price="35.00", monthly_token_quota="")
    text = superuser.open(f"billing/plan/{Plan.objects.get(code='starter').pk}/history/").content.decode()
    assert "29 → 35" in text
    assert "500 → unlimited" in text
    assert "sue" in text


def test_history_cannot_be_written_back_by_anybody(superuser: Staff, clerk: Staff, catalogue: None) -> None:
    edit(superuser, "starter", price="35.00")
    plan = Plan.objects.get(code="starter")
    oldest = plan.history.earliest()
    for staff in (superuser, clerk.may("billing.view_plan")):
        page = f"billing/plan/{plan.pk}/history/{oldest.pk}/"
        assert staff.send(page, **form_of(plan, price="29")).status_code == 403
    plan.refresh_from_db()
    assert plan.price == 35


def test_permissions_are_djangos(clerk: Staff, alice: Customer) -> None:
    plan = Plan.objects.get(code="starter")
    for page in ("billing/plan/", "billing/plan/add/", f"billing/plan/{plan.pk}/change/"):
        assert clerk.open(page).status_code == 403
    clerk.may("billing.view_plan")
    assert clerk.open("billing/plan/").status_code == 200
    assert edit(clerk, "starter", price="1").status_code == 403
    assert press(clerk, plan, "archive").status_code == 403
    alice_in_a_browser = Staff(alice.user)
    assert alice_in_a_browser.open("billing/plan/").status_code == 302


def test_the_sidebar_shows_what_the_permissions_open(clerk: Staff, catalogue: None) -> None:
    text = clerk.may("billing.view_plan").open("billing/plan/").content.decode()
    assert "/admin/billing/plan/" in text
    assert "/admin/usage/usagelog/" not in text


@committed
def test_deleting_pushes_the_fence_too(superuser: Staff, catalogue: None) -> None:
    chosen = list(Route.objects.values_list("pk", flat=True)[:2])
    deletion = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    superuser.client.post("/admin/billing/route/", deletion)
    assert not Route.objects.filter(pk__in=chosen).exists()
    assert told(keys.catalogue_fence(0)) == Fence.objects.get(subject=0).version


def test_a_capability_in_need_is_not_deleted(superuser: Staff, catalogue: None) -> None:
    capability = Capability.objects.get(code="investigator")
    superuser.send(f"billing/capability/{capability.pk}/delete/", post="yes")
    assert Capability.objects.filter(pk=capability.pk).exists()
