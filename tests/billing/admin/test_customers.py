"""The admin's pages of subscriptions, limit overrides and token top-ups."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import LimitOverride, Subscription, TokenTopUp
from tests.cast import Customer, Staff, call
from usage.metering import admit

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


def trace(customer: Customer) -> admit.Admission:
    return call(customer, "trace_start")


def test_a_subscription_is_looked_at_and_not_written(superuser: Staff, bob: Customer) -> None:
    subscription = Subscription.objects.get()
    page = f"billing/subscription/{subscription.pk}/"
    text = superuser.open(f"{page}change/").content.decode()
    assert "29.00 USD" in text, "its billing period is shown"
    assert "_save" not in text
    assert superuser.open("billing/subscription/?q=bob&status__exact=active").status_code == 200
    for address in (f"{page}change/", f"{page}delete/", "billing/subscription/add/"):
        assert superuser.send(address, status="canceled", post="yes").status_code == 403
    subscription.refresh_from_db()
    assert subscription.status == "active"


@committed
def test_an_override_lifts_a_limit_from_the_next_call_until_it_is_deleted(superuser: Staff, alice: Customer) -> None:
    page = "billing/limitoverride/"
    fields = {"account": alice.account, "limit": "quota", "reason": "trial"}
    assert superuser.send(f"{page}add/", **fields, maximum=9).status_code == 302
    assert not trace(alice).admitted
    override = LimitOverride.objects.get()
    superuser.send(f"{page}{override.pk}/change/", limit="quota", maximum="")
    assert trace(alice).quota.limit.maximum is None
    superuser.send(f"{page}{override.pk}/delete/", post="yes")
    assert trace(alice).quota.limit.maximum == 100


@committed
def test_a_top_up_counts_from_the_next_call(superuser: Staff, alice: Customer) -> None:
    assert trace(alice).quota.limit.maximum == 100
    now = timezone.now() - timedelta(seconds=1)
    starts = {"starts_at_0": now.date(), "starts_at_1": now.time().replace(microsecond=0)}
    assert superuser.send("billing/tokentopup/add/", account=alice.account, tokens=50, **starts).status_code == 302
    assert trace(alice).quota.limit.maximum == 150


@pytest.mark.parametrize("page", ["limitoverride", "tokentopup"])
def test_every_page_opens(superuser: Staff, alice: Customer, page: str) -> None:
    row: Any
    if page == "limitoverride":
        row = LimitOverride.objects.create(account=alice.user, limit="minute", maximum=None)
    else:
        row = TokenTopUp.objects.create(account=alice.user, tokens=1)
    for address in ("", "?q=alice", "add/", f"{row.pk}/change/", f"{row.pk}/history/"):
        assert superuser.open(f"billing/{page}/{address}").status_code == 200, address


PAST, FUTURE = "2020-01-01", "2999-01-01"


@pytest.mark.parametrize(
    ("page", "fields", "field"),
    [
        ("limitoverride", {"limit": "minute", "maximum": -1}, "maximum"),
        ("limitoverride", {"limit": "minute", "maximum": 1_000_001}, "maximum"),
        ("limitoverride", {"limit": "hour", "maximum": 1}, "limit"),
        ("limitoverride", {"limit": "quota", "expires_at_0": PAST, "expires_at_1": "00:00"}, "expires_at"),
        ("limitoverride", {"limit": "quota", "account": ""}, "account"),
        ("tokentopup", {"tokens": 0}, "tokens"),
        ("tokentopup", {"tokens": ""}, "tokens"),
        ("tokentopup", {"tokens": 1, "starts_at_0": FUTURE, "expires_at_0": "2998-01-01"}, "expires_at"),
    ],
)
def test_a_wrong_value_is_named_at_its_field(
    superuser: Staff, alice: Customer, page: str, fields: dict[str, Any], field: str
) -> None:
    times = {"starts_at_0": FUTURE, "starts_at_1": "00:00", "expires_at_1": "00:00" if "expires_at_0" in fields else ""}
    answer = superuser.send(f"billing/{page}/add/", **({"account": alice.account} | times | fields))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].errors) == [field]


@pytest.mark.parametrize("maximum", ["0", "1000000", ""])
def test_a_limit_at_its_bounds_is_taken(superuser: Staff, alice: Customer, maximum: str) -> None:
    fields = {"account": alice.account, "limit": "minute", "maximum": maximum}
    assert superuser.send("billing/limitoverride/add/", **fields).status_code == 302


def test_an_exception_stays_with_its_account(superuser: Staff, alice: Customer, bob: Customer) -> None:
    override = LimitOverride.objects.create(account=alice.user, limit="minute", maximum=5)
    superuser.send(f"billing/limitoverride/{override.pk}/change/", account=bob.account, limit="minute", maximum=6)
    override.refresh_from_db()
    assert (override.account_id, override.maximum) == (alice.account, 6)


def test_the_account_is_found_by_typing(superuser: Staff, clerk: Staff, alice: Customer) -> None:
    query = "autocomplete/?app_label=billing&model_name=limitoverride&field_name=account&term=ali"
    assert superuser.open(query).json()["results"] == [{"id": str(alice.account), "text": "alice"}]
    assert clerk.open(query).status_code == 403
