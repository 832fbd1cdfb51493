"""API keys over HTTP: shown once, rotated, revoked, by whom it may be done, and walls between accounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from billing.entitlements import callers
from billing.models import ApiKey, OutboxMessage, StoredResponse
from tests.billing.sale import lift_minute
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem
from tests.schema import CheckedClient

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = "/api/v1/keys"
NAMED = {"name": "production"}


@pytest.fixture
def mia(customer: Callable[..., Customer]) -> Customer:
    """Her key may manage keys."""
    return lift_minute(customer("mia", "starter", scope="manage"))


def with_key(key: str) -> CheckedClient:
    return CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)


def create(customer: Customer, **fields: Any) -> Any:
    answer = customer.post(KEYS, NAMED | fields)
    assert answer.status_code == 201, answer.content
    return answer.json()


def rotate(customer: Customer, key: str, seconds: int = 0, **headers: str) -> Any:
    return customer.post(f"{KEYS}/{key}/rotate", {"overlap_seconds": seconds}, **headers)


def change(customer: Customer, key: str, **fields: Any) -> Any:
    return customer.api.patch(f"{KEYS}/{key}", fields, content_type="application/json")


def works(key: str) -> bool:
    return with_key(key).get("/api/v1/usage/current").status_code == 200


def kinds(account: int) -> list[tuple[str, Any]]:
    rows = OutboxMessage.objects.filter(account=account, kind__startswith="api_key.").order_by("pk")
    return [(row.kind, row.payload) for row in rows]


def test_a_new_key_is_shown_once_and_works(mia: Customer) -> None:
    made = create(mia)
    assert made["key"].startswith(made["prefix"] + ".") and made["prefix"] == f"mk_live_{made['id']}"
    assert (made["name"], made["scope"], made["status"], made["expires_at"]) == ("production", "", "valid", None)
    assert works(made["key"])
    listed = mia.api.get(KEYS)
    secret = made["key"].partition(".")[2]
    assert secret not in listed.text
    assert [row["id"] for row in listed.json()["results"]] == [made["id"], callers.look_up(mia.key).prefix]
    assert kinds(mia.account)[-1] == ("api_key.issued", {"key": made["id"]})
    assert not any(secret in str(row) for row in (*OutboxMessage.objects.values(), *ApiKey.objects.values()))


def test_it_ends_when_it_is_told_to(mia: Customer) -> None:
    with moved_by_hand() as clock:
        at = timezone.now() + timedelta(seconds=10)
        made = create(mia, expires_at=at.isoformat().replace("+00:00", "Z"))
        assert works(made["key"])
        clock.tick(10)
        assert not works(made["key"])
        assert mia.api.get(KEYS).json()["results"][0]["status"] == "expired"
        problem(change(mia, made["id"], name="again"), 409, "key_ended")
        problem(rotate(mia, made["id"]), 409, "key_ended")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "a\x00b"}, "name"),
        (NAMED | {"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        (NAMED | {"expires_at": "2031-01-01"}, "expires_at"),
        (NAMED | {"expires_at": "9999-12-31T23:59:59Z"}, "expires_at"),
        (NAMED | {"scope": "meter"}, "scope"),
        (NAMED | {"scope": "admin"}, "scope"),
        (NAMED | {"limits": {"requests_per_hour": 1}}, "limits"),
        (NAMED | {"limits": {"tokens_per_day": -1}}, "limits"),
        (NAMED | {"limits": {"tokens_per_day": 10**15}}, "limits"),
        (NAMED | {"limits": {"tokens_per_day": "many"}}, "limits"),
        (NAMED | {"limits": None}, "limits"),
    ],
)
def test_a_wrong_field_makes_no_key(mia: Customer, body: Any, field: str) -> None:
    assert list(problem(mia.post(KEYS, body), 400, "invalid", {"errors"})["errors"]) == [field]
    assert ApiKey.objects.count() == 1


class TestWhoMay:
    @pytest.mark.parametrize("scope", ["", "meter"])
    def test_a_key_of_another_scope_may_nothing(self, customer: Callable[..., Customer], scope: str) -> None:
        nora = lift_minute(customer("nora", "starter", scope=scope))
        own = callers.look_up(nora.key).prefix
        for answer in (
            nora.api.get(KEYS),
            nora.post(KEYS, NAMED),
            change(nora, own, name="x"),
            rotate(nora, own),
            nora.api.delete(f"{KEYS}/{own}"),
        ):
            problem(answer, 403, "forbidden")
        assert ApiKey.objects.get().name == "nora's key" and works(nora.key)

    def test_nobody_may_without_credentials(self, mia: Customer) -> None:
        problem(CheckedClient().get(KEYS), 401, "not_authenticated")

    def test_a_session_may_and_needs_its_csrf_token(self, mia: Customer) -> None:
        for checked, status in ((False, 201), (True, 403)):
            session = CheckedClient(enforce_csrf_checks=checked)
            session.force_login(mia.user)
            assert session.get(KEYS).status_code == 200
            assert session.post(KEYS, NAMED, content_type="application/json").status_code == status

    @pytest.mark.parametrize("scope", ["", "manage"])
    def test_a_managing_key_gives_no_more_than_it_has(self, mia: Customer, scope: str) -> None:
        made = create(mia, scope=scope)
        may = with_key(made["key"]).get(KEYS).status_code
        assert (made["scope"], may) == (scope, 200 if scope else 403)

    def test_a_key_that_says_what_was_used_is_rotated_by_staff_only(self, mia: Customer) -> None:
        """Who pays would be shown a key that settles and voids."""
        more, _ = ApiKey.issue(account=mia.user, name="voids", scope="meter")
        problem(rotate(mia, more.pk), 403, "forbidden")
        session = CheckedClient()
        session.force_login(mia.user)
        answer = session.post(f"{KEYS}/{more.pk}/rotate", {"overlap_seconds": 0}, content_type="application/json")
        problem(answer, 403, "forbidden")
        assert ApiKey.objects.filter(scope="meter").get().revoked is False
        assert mia.api.delete(f"{KEYS}/{more.pk}").status_code == 204

    def test_keys_of_others_are_not_there(self, mia: Customer, bob: Customer) -> None:
        theirs = callers.look_up(bob.key).prefix
        assert theirs not in mia.api.get(KEYS).text
        for answer in (
            change(mia, theirs, name="x"),
            rotate(mia, theirs),
            mia.api.delete(f"{KEYS}/{theirs}"),
            mia.api.delete(f"{KEYS}/nothing"),
        ):
            problem(answer, 404, "not_found")
        assert works(bob.key)


class TestRotation:
    def test_the_old_key_goes_on_for_the_overlap_and_no_longer(self, mia: Customer) -> None:
        with moved_by_hand() as clock:
            old = create(mia)
            new = rotate(mia, old["id"], 3600).json()
            assert (new["name"], new["status"], new["expires_at"]) == ("production", "valid", None)
            assert [works(old["key"]), works(new["key"])] == [True, True]
            clock.tick(3599)
            assert works(old["key"])
            clock.tick(1)
            assert [works(old["key"]), works(new["key"])] == [False, True]
        told = {"key": old["id"], "successor": new["id"], "overlap_seconds": 3600}
        assert kinds(mia.account)[1:] == [("api_key.issued", {"key": old["id"]}), ("api_key.rotated", told)]

    def test_without_an_overlap_it_ends_at_once(self, mia: Customer) -> None:
        old = create(mia)
        new = rotate(mia, old["id"]).json()
        assert [works(old["key"]), works(new["key"])] == [False, True]

    def test_the_new_key_lives_as_long_as_the_old_one_was_to(self, mia: Customer) -> None:
        with moved_by_hand("2031-03-01T00:00:00Z") as clock:
            old = create(mia, expires_at="2031-03-11T00:00:00Z")
            clock.move_to("2031-03-10T00:00:00Z")
            new = rotate(mia, old["id"], 30 * 86_400).json()
            assert new["expires_at"] == "2031-03-20T00:00:00Z"
            listed = {row["id"]: row["expires_at"] for row in mia.api.get(KEYS).json()["results"]}
            assert listed[old["id"]] == "2031-03-11T00:00:00Z", "an overlap makes no key live longer"

    @pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, "0", None, True])
    def test_the_overlap_has_bounds(self, mia: Customer, seconds: Any) -> None:
        answer = rotate(mia, create(mia)["id"], seconds)
        assert list(problem(answer, 400, "invalid", {"errors"})["errors"]) == ["overlap_seconds"]

    def test_a_key_is_rotated_once_however_many_ask(self, mia: Customer) -> None:
        old = create(mia)
        answers = at_once(*[lambda: rotate(mia, old["id"], 60)] * 8)
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"already_rotated"}
        assert ApiKey.objects.filter(replaces=old["id"]).count() == 1

    def test_after_its_successor_was_revoked_it_can_be_rotated_again(self, mia: Customer) -> None:
        old = create(mia)
        lost = rotate(mia, old["id"], 60).json()
        mia.api.delete(f"{KEYS}/{lost['id']}")
        assert rotate(mia, old["id"], 60).status_code == 201

    def test_a_key_rotates_itself(self, mia: Customer) -> None:
        new = rotate(mia, callers.look_up(mia.key).prefix).json()
        assert new["scope"] == "manage" and not works(mia.key)
        assert with_key(new["key"]).get(KEYS).status_code == 200


class TestRevoking:
    def test_it_acts_on_the_next_request_and_is_for_good(self, mia: Customer) -> None:
        made = create(mia)
        assert works(made["key"])
        for _ in range(2):
            assert mia.api.delete(f"{KEYS}/{made['id']}").status_code == 204
        answer = with_key(made["key"]).get("/api/v1/usage/current")
        assert problem(answer, 401, "not_authenticated")["reason"] == "revoked"
        problem(change(mia, made["id"], name="x"), 409, "key_ended")
        assert [kind for kind, _ in kinds(mia.account)].count("api_key.revoked") == 1

    def test_beside_calls_none_is_let_in_that_began_after_it(self, mia: Customer) -> None:
        made = create(mia)
        gone: list[bool] = []

        def revoke() -> Any:
            answer = mia.api.delete(f"{KEYS}/{made['id']}")
            gone.append(True)
            return answer

        def use() -> list[tuple[bool, int]]:
            seen = []
            while not seen or seen[-1][1] == 200:
                after = bool(gone)
                seen.append((after, with_key(made["key"]).get("/api/v1/usage/current").status_code))
            return seen

        answers = at_once(use, use, use, revoke)
        assert answers[-1].status_code == 204
        assert not [1 for seen in answers[:-1] for after, status in seen if after and status == 200]


def test_name_and_expiry_change(mia: Customer) -> None:
    made = create(mia)
    assert change(mia, made["id"], name="staging").json()["name"] == "staging"
    later = change(mia, made["id"], expires_at="2999-01-01T00:00:00Z").json()
    assert (later["name"], later["expires_at"]) == ("staging", "2999-01-01T00:00:00Z")
    assert change(mia, made["id"], expires_at=None).json()["expires_at"] is None
    for at in ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        answer = change(mia, made["id"], expires_at=at)
        assert list(problem(answer, 400, "invalid", {"errors"})["errors"]) == ["expires_at"]
    problem(change(mia, made["id"], scope="manage"), 400, "invalid", {"errors"})
    change(mia, made["id"], name="staging")
    told = [kind for kind, payload in kinds(mia.account) if payload == {"key": made["id"]}]
    assert told == ["api_key.issued", *["api_key.changed"] * 3], "what is as it was is no change"


@override_settings(MOST_API_KEYS=3)
def test_no_more_keys_than_may_be_however_many_ask(mia: Customer) -> None:
    answers = at_once(*[lambda: mia.post(KEYS, NAMED)] * 6)
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [400] * 4
    full = next(answer for answer in answers if answer.status_code == 400)
    assert "there can be: 3" in problem(full, 400, "too_many_keys")["detail"]
    first = next(answer.json()["id"] for answer in answers if answer.status_code == 201)
    problem(rotate(mia, first, 60), 400, "too_many_keys")
    assert rotate(mia, first, 0).status_code == 201, "one ends as the other begins"


def test_a_request_sent_again_makes_no_second_key_and_shows_none(mia: Customer) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (mia.post(KEYS, NAMED, **headers) for _ in range(2))
    assert (first.status_code, second.status_code, second["Idempotency-Replayed"]) == (201, 201, "true")
    made, again = first.json(), second.json()
    assert works(made["key"]) and again == made | {"key": None}
    rotated = [rotate(mia, made["id"], 60, **{"Idempotency-Key": "r"}).json() for _ in range(2)]
    assert works(rotated[0]["key"]) and rotated[1] == rotated[0] | {"key": None}
    kept = "".join(StoredResponse.objects.values_list("body", flat=True))
    for key in (made["key"], rotated[0]["key"]):
        assert key.partition(".")[2] not in kept
    assert ApiKey.objects.count() == 3
