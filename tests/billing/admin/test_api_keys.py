"""The admin's pages of API keys: a key is seen once, and revoked at once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.models import Session
from django.test import override_settings
from django.utils import timezone

from billing.entitlements import api_keys, callers
from billing.entitlements.callers import BadCredentials
from billing.models import ApiKey, ApiKeyUse, OutboxMessage
from tests.cast import Customer, Staff
from usage.metering import admit
from usage.metering.call import ChargeRequest

pytestmark = pytest.mark.django_db
PLAIN = re.compile(r'<code id="plain-key"[^>]*>([^<]+)</code>')

NO_BUDGET = {"budget-TOTAL_FORMS": 0, "budget-INITIAL_FORMS": 0}


def make(staff: Staff, account: int, **fields: Any) -> Any:
    return staff.send("billing/apikey/add/", account=account, **({"name": "production", "scope": ""} | fields))


def page_of(key: ApiKey, action: str = "change") -> str:
    from django.contrib.admin.utils import quote

    return f"billing/apikey/{quote(key.pk)}/{action}/"


def test_the_plain_key_is_on_the_answer_and_nowhere_else(superuser: Staff, alice: Customer) -> None:
    answer = make(superuser, alice.account)
    found = PLAIN.search(answer.content.decode())
    assert found is not None
    plain = found[1]
    identity = callers.look_up(plain)
    assert identity.account == alice.account
    assert "no-store" in answer["Cache-Control"]

    key = ApiKey.objects.get(name="production")
    secret = plain.partition(".")[2]
    for page in ("billing/apikey/", page_of(key), page_of(key, "history"), ""):
        assert secret not in superuser.open(page).content.decode(), page
    kept = [str(vars(entry)) for entry in LogEntry.objects.all()] + [str(vars(key))]
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [cookie.output() for cookie in superuser.client.cookies.values()]
    assert not any(secret in text for text in kept)


def test_scope_and_expiry_are_those_of_the_form(superuser: Staff, alice: Customer) -> None:
    expiry = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    make(superuser, alice.account, scope="meter", expiry_date_0=expiry.date(), expiry_date_1=expiry.time())
    key = ApiKey.objects.get(name="production")
    assert (key.scope, key.expiry_date, key.revoked) == ("meter", expiry, False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"scope": "admin"}, "scope"),
        ({"account": 0}, "account"),
        ({"expiry_date_0": "2020-01-01", "expiry_date_1": "00:00"}, "expiry_date"),
    ],
)
def test_a_wrong_field_makes_no_key(superuser: Staff, alice: Customer, fields: dict[str, Any], field: str) -> None:
    answer = make(superuser, **({"account": alice.account} | fields))
    assert list(answer.context["adminform"].errors) == [field]
    assert ApiKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_fails_on_the_next_call(superuser: Staff, alice: Customer) -> None:
    caller = alice.caller
    assert admit.admit(caller, lambda _: ChargeRequest()).admitted
    key = ApiKey.objects.get()
    assert "cannot be undone" in superuser.open(page_of(key, "revoke")).content.decode()
    assert admit.admit(caller, lambda _: ChargeRequest()).admitted
    assert superuser.send(page_of(key, "revoke")).status_code == 302
    with pytest.raises(BadCredentials, match="revoked"):
        admit.admit(caller, lambda _: ChargeRequest())
    with pytest.raises(BadCredentials, match="revoked"):
        callers.look_up(alice.key)


def test_revoking_is_for_good(superuser: Staff, alice: Customer) -> None:
    key = ApiKey.objects.get()
    superuser.send(page_of(key, "revoke"))
    superuser.send(page_of(key), name="again", revoked="", **NO_BUDGET)
    key = ApiKey.objects.get()
    assert (key.revoked, key.name) == (True, "alice's key")
    assert "/revoke/" not in superuser.open(page_of(key)).content.decode()
    again = superuser.client.post(f"/admin/{page_of(key, 'revoke')}", follow=True)
    assert "was revoked before" in again.content.decode()
    assert OutboxMessage.objects.filter(kind="api_key.revoked").count() == 1
    assert [entry.change_message for entry in LogEntry.objects.filter(object_id=key.pk)].count("Revoked.") == 1
    assert superuser.send(page_of(key, "delete"), post="yes").status_code == 403


def test_name_and_expiry_can_change_but_not_whose_key_it_is(superuser: Staff, alice: Customer, bob: Customer) -> None:
    key = ApiKey.objects.get(account=alice.account)
    fields = {"account": bob.account, "scope": "meter", "name": "old", "expiry_date_0": "2999-01-01"} | NO_BUDGET
    assert superuser.send(page_of(key), **fields, expiry_date_1="00:00").status_code == 302
    key = ApiKey.objects.get(pk=key.pk)
    assert (key.account_id, key.scope, key.name) == (alice.account, "", "old")
    assert key.expiry_date is not None and key.expiry_date.year == 2999


def test_the_list_tells_valid_expired_and_revoked_apart(superuser: Staff, alice: Customer) -> None:
    ApiKey.issue(account=alice.user, name="late", expiry_date=timezone.now() - timedelta(seconds=1))
    ApiKey.issue(account=alice.user, name="gone", revoked=True)
    text = superuser.open("billing/apikey/?q=alice").content.decode()
    for state in ("valid", "expired", "revoked"):
        assert re.search(rf">\s*{state}\s*<", text), state


def test_only_staff_who_may_change_keys_revoke_them(clerk: Staff, alice: Customer) -> None:
    key = ApiKey.objects.get()
    clerk.may("billing.view_apikey")
    assert clerk.open(page_of(key)).status_code == 200
    assert clerk.send(page_of(key, "revoke")).status_code == 403
    assert make(clerk, alice.account).status_code == 403
    clerk.may("billing.change_apikey")
    clerk.user = type(clerk.user).objects.get(pk=clerk.user.pk)
    assert clerk.send(page_of(key, "revoke")).status_code == 302


def test_the_librarys_own_keys_have_no_page(superuser: Staff) -> None:
    assert superuser.open("rest_framework_api_key/apikey/").status_code == 404
    assert superuser.open("billing/fence/").status_code == 404


@pytest.mark.parametrize("pasted", ["{}", "  {}\n", "Bearer {}", "bearer {}"])
def test_a_key_pasted_whole_is_found(superuser: Staff, alice: Customer, bob: Customer, pasted: str) -> None:
    found = superuser.client.get("/admin/billing/apikey/", {"q": pasted.format(alice.key)})
    assert [key.account_id for key in found.context["cl"].result_list] == [alice.account]


def test_what_is_no_key_is_searched_as_before(superuser: Staff, alice: Customer) -> None:
    alice.user.email = f"{alice.key.partition('.')[0][-8:]}.a-name-that-is-quite-long@example.com"
    alice.user.save()
    prefix = alice.key.partition(".")[0][-8:]
    for text, number in ((alice.user.email, 1), (prefix, 1), (f"x{alice.key}", 0), ("alice", 1)):
        found = superuser.client.get("/admin/billing/apikey/", {"q": text})
        assert len(found.context["cl"].result_list) == number, text


def test_who_may_only_revoke_keys_gets_none_by_rotating(clerk: Staff, alice: Customer) -> None:
    clerk.may("billing.view_apikey", "billing.change_apikey")
    key = ApiKey.objects.get(account=alice.user)
    assert b"/rotate/" not in clerk.open(page_of(key)).content
    assert clerk.open(page_of(key, "rotate")).status_code == 403
    assert clerk.send(page_of(key, "rotate"), overlap="3600").status_code == 403
    assert ApiKey.objects.count() == 1
    clerk.may("billing.add_apikey")
    assert PLAIN.search(clerk.send(page_of(key, "rotate"), overlap="3600").content.decode())


def test_a_rotated_key_is_shown_once_and_the_old_one_goes_on(superuser: Staff, alice: Customer) -> None:
    key = ApiKey.objects.get()
    assert "span of life" in superuser.open(page_of(key, "rotate")).content.decode()
    answer = superuser.send(page_of(key, "rotate"), overlap="3600")
    found = PLAIN.search(answer.content.decode())
    assert found is not None and "no-store" in answer["Cache-Control"]
    assert [callers.look_up(text).account for text in (found[1], alice.key)] == [alice.account] * 2
    again = superuser.client.post(f"/admin/{page_of(key, 'rotate')}", {"overlap": "3600"}, follow=True)
    assert "was rotated" in again.content.decode() and ApiKey.objects.count() == 2
    assert superuser.send(page_of(key, "rotate"), overlap="7").status_code == 200


def test_saving_a_key_does_not_bring_it_back(superuser: Staff, alice: Customer) -> None:
    from django.contrib.admin.sites import site

    row = ApiKey.objects.get()
    pages, request = site.get_model_admin(ApiKey), superuser.client.get("/admin/").wsgi_request
    form = pages.get_form(request, row, change=True)({"name": "late"}, instance=row)
    api_keys.revoke(alice.account, row.pk)
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    assert form.is_valid()
    pages.save_model(request, row, form, True)
    assert (ApiKey.objects.get().revoked, ApiKey.objects.get().name) == (True, "alice's key")


def test_staff_make_more_keys_than_a_customer_may(superuser: Staff, alice: Customer) -> None:
    with override_settings(MOST_API_KEYS=1):
        make(superuser, alice.account)
    assert ApiKey.objects.count() == 2


def test_staff_see_when_a_key_was_used_last(superuser: Staff, alice: Customer) -> None:
    ApiKeyUse.objects.create(key=ApiKey.objects.get(), used_at=datetime(2031, 3, 1, 12, tzinfo=UTC))
    for page in ("billing/apikey/", page_of(ApiKey.objects.get())):
        assert "2031-03-01" in superuser.open(page).content.decode()
