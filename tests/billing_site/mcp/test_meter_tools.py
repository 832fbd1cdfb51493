"""Reserve, settle and release over MCP, for keys of the scope `meter`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.models import Plan
from tests.billing_site.mcp.rpc import call, call_modern, content, error, failure, message, names, send
from tests.billing_site.test_gateway import used
from tests.cast import Customer

pytestmark = pytest.mark.django_db
NINE = {"feature": "ai_agent_query", "tokens": 9}


def test_a_customers_own_key_does_not_see_them(bob: Customer, dave: Customer) -> None:
    meter = {"reserve", "settle", "release"}
    assert not meter & set(names(send(bob, message("tools/list"))))
    assert meter <= set(names(send(dave, message("tools/list"))))
    response = call(bob, "reserve", {"feature": "trace_start", "tokens": 9})
    assert failure(response).startswith("This key may not call the tool")
    assert used(bob) == 0


@pytest.mark.parametrize("send_call", [call, call_modern])
def test_reserve_and_settle(dave: Customer, send_call: Any) -> None:
    response = send_call(dave, "reserve", NINE)
    held = content(response)
    assert (held["tokens_reserved"], response["X-Usage-Event"], used(dave)) == (9, held["reservation"], 9)
    done = content(send_call(dave, "settle", {"reservation": held["reservation"], "tokens": 4}))
    assert (done["state"], done["tokens_charged"], done["tokens_released"], used(dave)) == ("settled", 4, 5, 4)
    again = send_call(dave, "settle", {"reservation": held["reservation"], "tokens": 5})
    assert json.loads(failure(again))["code"] == "already_settled"


def test_units_of_a_model(dave: Customer) -> None:
    asked = {"feature": "ai_agent_query", "model": "m-large", "units": {"input": 1200, "output": 800}, "run": "r-81"}
    held = content(call(dave, "reserve", asked))
    over_http = dave.api.get(f"/api/v1/usage/reservations/{held['reservation']}").json()
    assert (over_http["run"], over_http["tokens_reserved"]) == ("r-81", held["tokens_reserved"])
    estimated = content(call(dave, "estimate_cost", {"model": "m-large", "units": asked["units"]}))
    assert estimated["tokens"]["ai_agent_query"] == held["tokens_reserved"]


def test_release(dave: Customer) -> None:
    held = content(call(dave, "reserve", NINE))
    assert content(call(dave, "release", {"reservation": held["reservation"]}))["state"] == "released"
    assert used(dave) == 0


def test_under_an_idempotency_key_one_is_held(dave: Customer) -> None:
    first = call(dave, "reserve", NINE, **{"Idempotency-Key": "k"})
    again = call(dave, "reserve", NINE, **{"Idempotency-Key": "k"})
    assert (content(again), used(dave)) == (content(first), 9)


@pytest.mark.parametrize(
    "asked",
    [
        {"feature": "nothing", "tokens": 9},
        {"feature": "ai_agent_query"},
        {"feature": "ai_agent_query", "model": "m-none", "units": {"input": 1}},
        {"feature": "ai_agent_query", "tokens": 9, "parent": "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"},
    ],
)
def test_what_cannot_be_reserved_holds_nothing(dave: Customer, asked: dict[str, Any]) -> None:
    assert json.loads(failure(call(dave, "reserve", asked)))["status"] == 400
    assert used(dave) == 0


def test_a_quota_that_does_not_suffice_says_what_would(dave: Customer) -> None:
    Plan.objects.filter(code="business").update(monthly_token_quota=8)
    said = error(call(dave, "reserve", NINE), 429)["data"]
    assert (said["code"], used(dave)) == ("quota_exceeded", 0)


def test_another_account_has_no_such_reservation(dave: Customer, customer: Any) -> None:
    held = content(call(dave, "reserve", NINE))
    other = customer("other", "business", scope="meter")
    for tool in ("settle", "release"):
        refused = json.loads(failure(call(other, tool, {"reservation": held["reservation"]})))
        assert refused["code"] == "not_found"
    assert used(dave) == 9
