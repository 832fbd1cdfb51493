"""Model prices in the admin: added and calculated by staff of the catalogue, never changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.utils import timezone

from billing.models import Feature, ModelPrice
from tests.billing.forms import form_errors
from tests.billing.staff import text_of
from tests.cast import Staff
from usage import roles

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("catalogue")]
LIST = "billing/modelprice/"
RATES = {"input": "2", "cache_read": "0.1", "cache_write": "2.5", "output": "8", "fixed": "0"}


def fields(**changes: Any) -> dict[str, Any]:
    feature = Feature.objects.get(code="ai_agent_query")
    return {"model": "m-new", "feature": feature.pk, "is_on_sale": "on", **RATES, **changes}


def member(role: str) -> Staff:
    roles.make(apps)
    user = User.objects.create_user(f"the-{role}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return Staff(user)


def when(at: Any) -> dict[str, str]:
    return {"valid_from_0": f"{at:%Y-%m-%d}", "valid_from_1": f"{at:%H:%M:%S}"}


class TestAdd:
    def test_in_tokens_for_a_thousand_units_at_once(self, superuser: Staff) -> None:
        before = timezone.now()
        assert superuser.send(f"{LIST}add/", **fields(fixed="0.5")).status_code == 302
        made = ModelPrice.objects.get(model="m-new")
        assert (made.input, made.cache_read, made.cache_write, made.output, made.fixed) == (2000, 100, 2500, 8000, 500)
        assert before <= made.valid_from <= timezone.now()
        page = text_of(superuser.open(f"{LIST}{made.pk}/change/"))
        assert "2.5" in page

    def test_from_a_time_to_come(self, superuser: Staff) -> None:
        ahead = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
        assert superuser.send(f"{LIST}add/", **fields(**when(ahead))).status_code == 302
        assert ModelPrice.objects.get(model="m-new").valid_from == ahead

    def test_off_sale_needs_no_rates(self, superuser: Staff) -> None:
        nothing = dict.fromkeys(RATES, "") | {"is_on_sale": ""}
        assert superuser.send(f"{LIST}add/", **fields(model="m-large", **nothing)).status_code == 302
        assert not ModelPrice.objects.filter(model="m-large").latest("valid_from").is_on_sale

    @pytest.mark.parametrize(
        ("given", "wrong"),
        [
            ({"output": ""}, "output"),
            ({"output": "-1"}, "output"),
            ({"output": "0.0001"}, "output"),
            ({"input": "1000000.001"}, "input"),
            ({"input": "two"}, "input"),
            ({"input": "NaN"}, "input"),
            ({"model": "m new"}, "model"),
            ({"model": ""}, "model"),
            ({"feature": "0"}, "feature"),
            ({"valid_from_0": "2020-01-01", "valid_from_1": "00:00:00"}, "valid_from"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(self, superuser: Staff, given: dict[str, str], wrong: str) -> None:
        assert list(form_errors(superuser.send(f"{LIST}add/", **fields(**given)))) == [wrong]
        assert not ModelPrice.objects.filter(model__startswith="m-new").exists()

    def test_two_from_one_instant_are_told_as_an_error(self, superuser: Staff) -> None:
        ahead = timezone.now() + timedelta(days=3)
        assert superuser.send(f"{LIST}add/", **fields(**when(ahead))).status_code == 302
        assert "already exists" in str(form_errors(superuser.send(f"{LIST}add/", **fields(**when(ahead)))))


class TestCalculator:
    def test_beside_a_price(self, superuser: Staff) -> None:
        large = ModelPrice.objects.get(model="m-large")
        page = f"{LIST}{large.pk}/change/"
        assert "1,200 input, 800 output: 9 tokens, rounded up from 8.8." in text_of(superuser.open(page))
        given = "?units-input=300&units-cache_read=900&units-cache_write=0&units-output=412"
        assert "300 input, 900 read from a cache, 412 output: 4 tokens, rounded up from 3.986." in text_of(
            superuser.open(page + given)
        )
        assert "500 input: 1 token." in text_of(superuser.open(f"{page}?units-input=500"))
        for odd in ("-1", "x", "9" * 30, "%00"):
            answer = superuser.open(f"{page}?units-input={odd}")
            assert answer.status_code == 200
            assert answer.context["calculator"].errors
            assert answer.context["calculated"] == ""

    def test_before_a_price_is_added(self, superuser: Staff) -> None:
        given = fields(output="4", **{"units-input": "1000", "units-output": "1000"})
        answer = superuser.send(f"{LIST}add/", _calculate="", **given)
        assert "1,000 input, 1,000 output: 6 tokens." in text_of(answer)
        assert 'value="m-new"' in answer.content.decode(), "what was filled in stays"
        assert not ModelPrice.objects.filter(model="m-new").exists()

    def test_a_wrong_rate_costs_nothing_yet(self, superuser: Staff) -> None:
        answer = superuser.send(f"{LIST}add/", _calculate="", **fields(output="-4"))
        assert list(form_errors(answer)) == ["output"]
        assert answer.context["calculated"] == ""

    def test_more_than_a_call_can_cost(self, superuser: Staff) -> None:
        given = fields(output="1000000", **{"units-output": "1000000000"})
        assert "costs more than one call can" in text_of(superuser.send(f"{LIST}add/", _calculate="", **given))


class TestRowsStay:
    def test_none_is_changed_and_only_one_ahead_is_deleted(self, superuser: Staff) -> None:
        present = ModelPrice.objects.get(model="m-large")
        assert superuser.send(f"{LIST}{present.pk}/change/", **fields()).status_code == 403
        assert superuser.send(f"{LIST}{present.pk}/delete/", post="yes").status_code == 403
        superuser.send(f"{LIST}add/", **fields(**when(timezone.now() + timedelta(days=3))))
        ahead = ModelPrice.objects.get(model="m-new")
        assert superuser.send(f"{LIST}{ahead.pk}/delete/", post="yes").status_code == 302
        chosen = {"action": "delete_selected", "_selected_action": [present.pk], "post": "yes"}
        superuser.client.post(f"/admin/{LIST}", chosen)
        assert [row.model for row in ModelPrice.objects.order_by("model")] == ["m-large", "m-small"]

    def test_roles(self) -> None:
        seller, auditor = member(roles.CATALOGUE), member(roles.AUDITOR)
        assert seller.send(f"{LIST}add/", **fields()).status_code == 302
        made = ModelPrice.objects.get(model="m-new")
        for staff in (seller, auditor):
            assert staff.open(LIST).status_code == 200
            assert staff.open(f"{LIST}{made.pk}/change/").status_code == 200
        assert auditor.open(f"{LIST}add/").status_code == 403


class TestList:
    def listed(self, staff: Staff, query: str = "") -> list[tuple[str, str]]:
        rows = staff.open(f"{LIST}{query}").context["cl"].result_list
        site = staff.open(LIST).context["cl"].model_admin
        return [(row.model, site.state(row)) for row in rows]

    def test_states(self, superuser: Staff) -> None:
        now, feature = timezone.now(), Feature.objects.get(code="ai_agent_query")
        rates = {"input": 1, "cache_read": 1, "cache_write": 1, "output": 1}
        ModelPrice(model="m-large", feature=feature, valid_from=now - timedelta(days=9), **rates).save()
        ModelPrice(model="m-large", feature=feature, valid_from=now + timedelta(days=9), **rates).save()
        ModelPrice(model="m-small", feature=feature, valid_from=now, is_on_sale=False, **rates).save()
        large = [("m-large", "ahead"), ("m-large", "in force"), ("m-large", "followed")]
        small = [("m-small", "off sale"), ("m-small", "followed")]
        assert self.listed(superuser) == [*large, *small]
        assert self.listed(superuser, "?state=now") == [large[1], small[0]]
        assert self.listed(superuser, "?state=ahead") == [large[0]]
        assert self.listed(superuser, "?state=over") == [large[2], small[1]]
        assert self.listed(superuser, "?q=small") == small

    def test_as_csv(self, superuser: Staff) -> None:
        answer = superuser.open(f"{LIST}?_csv=1&q=m-large")
        lines = b"".join(answer.streaming_content).decode().splitlines()
        assert lines[0] == "model,feature,valid from,state,input,cache read,cache write,output,fixed"
        assert lines[1].endswith("in force,2,0.1,2.5,8,0")
