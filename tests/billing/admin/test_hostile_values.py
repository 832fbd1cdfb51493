"""Whatever is written into an address or a form of the admin: 404, 400, or the form again, and never a 500."""

from __future__ import annotations

import pprint
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin
from django.db import transaction
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from billing.models import LimitOverride, OutboxCursor, Plan, Subscription, TokenTopUp
from tests.billing.forms import plan_form
from tests.cast import Customer, Staff
from tests.effort import in_turn, some
from tests.factories import make_coupon

pytestmark = pytest.mark.django_db
HOSTILE = ["\0", "x", "9" * 30]
AS_ID = [*HOSTILE, "_00"]
"""The last is a NUL as the admin writes it into addresses."""
KEPT = {"logout", "jsi18n"}


def patterns(found: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Every address of the admin as its pattern, with its name."""
    for one in found:
        if isinstance(one, URLResolver):
            yield from patterns(one.url_patterns, before + str(one.pattern))
        elif isinstance(one, URLPattern) and one.name not in KEPT:
            yield before + str(one.pattern), str(one.name)


def with_ids() -> list[str]:
    """The addresses that name a row, with {} in its place."""
    found = set()
    for route, name in patterns(admin.site.get_urls()):
        if name.endswith("_simple_history"):
            found |= {route.replace("^([^/]+)/history/([^/]+)/$", "{}/history/1/")}
        elif "<" in route and name not in ("app_list", "None"):
            filled = route.replace("<path:content_type_id>", "{}").replace("<id>", "{}")
            found |= {filled.replace("<path:object_id>", "{}")}
    return sorted(found)


def address(text: str) -> str:
    return quote(text.encode(errors="surrogatepass"))


def status(staff: Staff, method: str, path: str, fields: dict[str, Any] | None = None) -> int:
    """Of the answer; what it changed, or broke, is undone."""
    staff.client.raise_request_exception = False
    with transaction.atomic():
        answer = staff.client.generic(
            method,
            f"/admin/{path}",
            urlencode(fields or {}, doseq=True, errors="surrogatepass"),
            content_type="application/x-www-form-urlencoded",
        )
        transaction.set_rollback(True)
    return int(answer.status_code)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_of_no_row(superuser: Staff, alice: Customer, method: str) -> None:
    routes = with_ids()
    assert len(routes) > 70
    wrong = {}
    for turn, route in enumerate(some(routes, 3)):
        for value in in_turn(AS_ID, turn):
            path = route.format(*[address(value)] * route.count("{}"))
            found = status(superuser, method, path, {"post": "yes"})
            if found not in (302, 400, 403, 404):
                wrong[path[:80]] = found
    assert not wrong, pprint.pformat(wrong)


def test_filters_searches_pages_and_orders_of_every_list(superuser: Staff, alice: Customer) -> None:
    wrong = {}
    for model, model_admin in some(admin.site._registry.items(), 4):
        names = {"q", "p", "o", "pk", "id__in"}
        for one in model_admin.list_filter:
            field = one if isinstance(one, str) else getattr(one, "parameter_name", "")
            names |= {field, f"{field}__exact", f"{field}__id__exact"}
        for turn, name in enumerate(sorted(names)):
            for value in in_turn(HOSTILE[:2], turn):
                query = urlencode({name: value}, errors="surrogatepass")
                path = f"{model._meta.app_label}/{model._meta.model_name}/?{query}"
                found = status(superuser, "GET", path)
                if found not in (200, 302, 400):
                    wrong[path[:80]] = found
    assert not wrong, pprint.pformat(wrong)


def test_autocomplete_and_the_search_of_the_sidebar(superuser: Staff, alice: Customer) -> None:
    asked = {"app_label": "billing", "model_name": "apikey", "field_name": "account", "term": "a", "page": "1"}
    wrong = {}
    for page, given in (
        ("autocomplete/", asked),
        ("search/", {"s": "a"}),
        ("", {"next": "a"}),
        ("login/", {"next": ""}),
    ):
        for name in given:
            for value in HOSTILE:
                path = f"{page}?{urlencode(given | {name: value}, errors='surrogatepass')}"
                found = status(superuser, "GET", path)
                if found not in (200, 302, 400, 403, 404):
                    wrong[path[:100]] = found
    assert not wrong, pprint.pformat(wrong)


def test_the_actions_of_every_list(superuser: Staff, alice: Customer) -> None:
    wrong = {}
    for turn, model in enumerate(some(admin.site._registry, 4)):
        for action in ("delete_selected", "\0"):
            for value in in_turn(HOSTILE[:2], turn):
                path = f"{model._meta.app_label}/{model._meta.model_name}/"
                fields = {"action": action, "_selected_action": value, "post": "yes", "index": "0"}
                if (found := status(superuser, "POST", path, fields)) not in (200, 302, 400, 403):
                    wrong[f"{path} {action[:20]!r} {value[:20]!r}"] = found
    assert not wrong, pprint.pformat(wrong)


def rows(customer: Customer) -> dict[str, dict[str, Any]]:
    """Forms of the admin by their page, as they would be accepted."""
    plan, subscription = Plan.objects.get(code="pro"), Subscription.objects.get()
    override = LimitOverride.objects.create(account=customer.user, limit="quota", maximum=5)
    top_up = TokenTopUp.objects.create(account=customer.user, tokens=5)
    cursor = OutboxCursor.objects.create(
        consumer="c", account=customer.user, delivered=0, latest=1, due_at=timezone.now()
    )
    account, of_subscription = {"account": customer.account}, f"billing/subscription/{subscription.pk}"
    coupon = make_coupon()
    until = {"valid_until_0": "2031-01-02", "valid_until_1": "10:00"}
    shown = {"target": "pro", "shown_at": "2025-10-01T00:00:00Z", "digest": "x"}
    starts = {"starts_at_0": "2031-01-01", "starts_at_1": "10:00"}
    expires = {"expires_at_0": "2031-01-02", "expires_at_1": "10:00"}
    return {
        "billing/apikey/add/": account | {"name": "n", "scope": "", "expiry_date_0": "", "expiry_date_1": ""},
        f"billing/plan/{plan.pk}/change/": plan_form(plan, seen="1"),
        "billing/plan/add/": plan_form(plan, code="new"),
        "billing/capability/add/": {"code": "c", "name": "n"},
        "billing/feature/add/": {
            "code": "f", "name": "n", "tokens": 1, "capability": "", "routes-TOTAL_FORMS": 1, "routes-INITIAL_FORMS": 0,
            "routes-0-path": "/x", "routes-0-method": "", "routes-0-id": "", "routes-0-feature": "",
        },
        "billing/route/add/": {"path": "/x", "method": "", "feature": "1"},
        "billing/limitoverride/add/": account | {"limit": "quota", "maximum": 1, "reason": "r"} | expires,
        f"billing/limitoverride/{override.pk}/change/": {"limit": "quota", "maximum": 1, "reason": "r", "seen": "1"},
        "billing/tokentopup/add/": account | {"tokens": 1, "reason": "r"} | starts | expires,
        f"billing/tokentopup/{top_up.pk}/change/": {"tokens": 1, "reason": "r"} | starts,
        "billing/coupon/add/": {
            "code": "c", "name": "n", "percent": "5", "amount": "", "currency": "", "periods": "1", "plans": plan.pk,
            "most_redemptions": "1",
        } | until,
        f"billing/coupon/{coupon.pk}/change/": {"name": "n", "amount": "5", "currency": "USD", "seen": "1"} | until,
        f"{of_subscription}/redeem_coupon/": {"code": "spring", "digest": "x"},
        f"{of_subscription}/change_plan/": shown,
        f"{of_subscription}/schedule_downgrade/": {"target": "community"},
        f"{of_subscription}/release/": {"digest": "x"},
        f"billing/outboxcursor/{cursor.pk}/skip/": {"delivered": "1"},
        "auth/user/add/": {"username": "n", "password1": "kQ7#long-enough", "password2": "kQ7#long-enough"},
        f"auth/user/{customer.account}/change/": {
            "username": "n", "email": "a@example.com", "groups": "1", "user_permissions": "1", "is_active": "on",
        },
        "auth/group/add/": {"name": "g", "permissions": "1"},
        "login/": {"username": "sue", "password": "sue", "next": "/admin/"},
    }  # fmt: skip


def test_every_field_of_every_form(superuser: Staff, alice: Customer) -> None:
    wrong = {}
    for page, fields in some(rows(alice).items(), 2):
        for turn, name in enumerate(fields):
            for value in in_turn(HOSTILE, turn):
                if (found := status(superuser, "POST", page, fields | {name: value})) not in (200, 302, 400, 403, 404):
                    wrong[f"{page} {name} {value[:20]!r}"] = found
    assert not wrong, pprint.pformat(wrong)


def test_what_a_button_shows_is_asked_by_a_target(superuser: Staff, alice: Customer) -> None:
    page = f"billing/subscription/{Subscription.objects.get().pk}/change_plan/"
    for value in HOSTILE:
        found = status(superuser, "GET", f"{page}?{urlencode({'target': value}, errors='surrogatepass')}")
        assert found in (302, 400, 404), value
