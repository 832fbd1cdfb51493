"""Two staff at one row that keeps a history: whoever is second is told, and overwrites nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from billing.catalogue import plans
from billing.models import Capability, Feature, LimitOverride, Plan, Route, TokenTopUp
from tests.billing.forms import form_errors, plan_form
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db
SEEN = re.compile(r'<input type="hidden" name="seen" value="([^"]*)"')


@pytest.fixture
def rita(db: None) -> Staff:
    return Staff(User.objects.create_superuser("rita", password="rita"))


def page_of(row: models.Model) -> str:
    return f"billing/{row._meta.model_name}/{row.pk}/change/"


def opened(staff: Staff, row: models.Model) -> dict[str, str]:
    """What the page that a member of staff looks at sends along, whatever is typed into it."""
    found = SEEN.search(staff.open(page_of(row)).content.decode())
    assert found is not None
    return {"seen": found[1]}


def plan(_: Customer) -> tuple[models.Model, Callable[[int], dict[str, Any]], str]:
    row = Plan.objects.get(code="pro")
    return row, lambda value: plan_form(row, price=f"{value}.00"), "price"


def feature(_: Customer) -> tuple[models.Model, Callable[[int], dict[str, Any]], str]:
    row = Feature.objects.get(code="risk_score")
    routes = {"routes-TOTAL_FORMS": 0, "routes-INITIAL_FORMS": 0}
    return row, lambda value: {"name": "Risk", "tokens": value, "capability": "", **routes}, "tokens"


def route(_: Customer) -> tuple[models.Model, Callable[[int], dict[str, Any]], str]:
    row = Route.objects.get(feature__code="risk_score")
    return row, lambda value: {"path": f"/v/{value}", "method": "", "feature": row.feature_id}, "path"


def override(customer: Customer) -> tuple[models.Model, Callable[[int], dict[str, Any]], str]:
    row = LimitOverride.objects.create(account=customer.user, limit="quota", maximum=5)
    return row, lambda value: {"limit": "quota", "maximum": value, "reason": ""}, "maximum"


def top_up(customer: Customer) -> tuple[models.Model, Callable[[int], dict[str, Any]], str]:
    row = TokenTopUp.objects.create(account=customer.user, tokens=5)
    starts = {"starts_at_0": row.starts_at.date(), "starts_at_1": row.starts_at.time().replace(microsecond=0)}
    return row, lambda value: {"tokens": value, **starts}, "tokens"


@pytest.mark.parametrize("cast_row", [plan, feature, route, override, top_up])
def test_the_second_of_two_is_told_and_overwrites_nothing(
    superuser: Staff, rita: Staff, alice: Customer, cast_row: Any
) -> None:
    row, fields, name = cast_row(alice)
    sues, ritas = opened(superuser, row), opened(rita, row)
    assert superuser.send(page_of(row), **fields(7), **sues).status_code == 302
    row.refresh_from_db()
    first = getattr(row, name)

    answer = rita.send(page_of(row), **fields(9), **ritas)
    told = str(form_errors(answer)["__all__"])
    assert "sue" in told and "Nothing was saved" in told
    assert "Nothing was saved" in answer.content.decode()
    row.refresh_from_db()
    assert getattr(row, name) == first
    # The page that told her does not overwrite either when it is sent again.
    assert rita.send(page_of(row), **fields(9), **ritas).status_code == 200

    assert rita.send(page_of(row), **fields(9), **opened(rita, row)).status_code == 302
    row.refresh_from_db()
    assert "9" in str(getattr(row, name)) and getattr(row, name) != first


def test_saving_again_and_again_is_one_persons_right(superuser: Staff, catalogue: None) -> None:
    row = Plan.objects.get(code="pro")
    for price in ("50.00", "51.00"):
        seen = opened(superuser, row)
        assert superuser.send(page_of(row), **plan_form(row, price=price), **seen, _continue="1").status_code == 302
    row.refresh_from_db()
    assert str(row.price) == "51.0000"


def test_a_capability_that_was_ticked_meanwhile_stays(superuser: Staff, rita: Staff, catalogue: None) -> None:
    row, all_of_them = Plan.objects.get(code="community"), list(Capability.objects.values_list("pk", flat=True))
    ritas, sues = opened(rita, row), opened(superuser, row)
    ticked = plan_form(row, capabilities=all_of_them)
    assert superuser.send(page_of(row), **ticked, **sues).status_code == 302
    assert "__all__" in form_errors(rita.send(page_of(row), **plan_form(row, capabilities=[]), **ritas))
    assert row.capabilities.count() == len(all_of_them)


def test_a_button_pressed_meanwhile_is_not_undone(superuser: Staff, catalogue: None) -> None:
    row = Plan.objects.get(code="pro")
    seen = opened(superuser, row)
    plans.archive(row.pk, timezone.now())
    told = form_errors(superuser.send(page_of(row), **plan_form(row, price="1.00"), **seen))["__all__"]
    assert "a command" in str(told)
    row.refresh_from_db()
    assert not row.is_on_sale and row.price == 49


@pytest.mark.parametrize("change", ["added", "edited", "deleted"])
def test_a_features_page_is_as_old_as_its_routes(superuser: Staff, catalogue: None, change: str) -> None:
    row = Feature.objects.get(code="risk_score")
    seen, present = opened(superuser, row), row.routes.get()
    if change == "added":
        Route.objects.create(feature=row, path="/another")
    elif change == "edited":
        present.method = "GET"
        present.save()
    else:
        present.delete()
    fields = {"name": "", "tokens": 1, "routes-TOTAL_FORMS": 0, "routes-INITIAL_FORMS": 0}
    assert "__all__" in form_errors(superuser.send(page_of(row), **fields, **seen))


def test_another_rows_edit_disturbs_nobody(superuser: Staff, catalogue: None) -> None:
    row, other = Plan.objects.get(code="pro"), Plan.objects.get(code="business")
    seen = opened(superuser, row)
    other.name = "Business two"
    other.save()
    assert superuser.send(page_of(row), **plan_form(row, price="50.00"), **seen).status_code == 302


def test_a_row_that_was_deleted_meanwhile_does_not_come_back(superuser: Staff, alice: Customer) -> None:
    row = LimitOverride.objects.create(
        account=alice.user, limit="quota", maximum=5, expires_at=timezone.now() + timedelta(days=1)
    )
    seen, page = opened(superuser, row), page_of(row)
    row.delete()
    superuser.send(page, limit="quota", maximum=9, **seen)
    assert not LimitOverride.objects.exists()


def test_what_was_never_seen_is_no_version(superuser: Staff, catalogue: None) -> None:
    row = Plan.objects.get(code="pro")
    for seen in ("x", "-1", "9" * 40, "\0"):
        assert superuser.send(page_of(row), **plan_form(row, price="1.00"), seen=seen).status_code == 200, seen
