"""A host product's own tools: one decorator, and what it holds against its function."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest

from billing.models import Plan
from billing_site import mcp_tools
from billing_site.mcp import tools
from billing_site.mcp.tools import metered_tool, tool
from tests.billing_site.mcp.rpc import call, content, error, message, result, send
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from usage.api.contract import admission_of

__all__ = ["mcp_tools"]  # registered, as with the URLs

TEXT = {"question": {"type": "string"}}


@pytest.fixture(autouse=True)
def of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(tools, "_tools", dict(tools._tools))


def answers(request: HttpRequest, question: str, length: int = 1) -> dict[str, Any]:
    """Answer a question by a model, and pay for what that has used."""
    reservation = admission_of(request).reserve(tokens=9)
    settled = reservation.settle(tokens=length)
    return {"charged": settled.charged}


def test_what_it_is_told_of_the_function() -> None:
    metered_tool("ai_agent_query", {**TEXT, "length": {"type": "integer"}})(answers)
    registered = tools.find("answers")
    assert registered is not None
    assert registered.description == "Answer a question by a model, and pay for what that has used."
    assert registered.input_schema == {
        "type": "object",
        "properties": {"question": {"type": "string"}, "length": {"type": "integer"}},
        "additionalProperties": False,
        "required": ["question"],
    }
    assert (registered.changes_nothing, registered.feature) == (False, "ai_agent_query")


def test_arguments_and_parameters_are_the_same() -> None:
    with pytest.raises(ValueError, match="answers takes others than question beside the request"):
        metered_tool("ai_agent_query", TEXT)(answers)


def test_there_are_no_two_of_a_name() -> None:
    def get_usage(request: HttpRequest) -> dict[str, Any]:
        """The host's."""
        return {}

    with pytest.raises(ValueError, match="there are two tools called get_usage"):
        tool()(get_usage)


def test_an_agent_is_told_what_it_is_for() -> None:
    def silent(request: HttpRequest) -> dict[str, Any]:
        return {}

    with pytest.raises(ValueError, match="silent has no docstring"):
        tool()(silent)


@pytest.mark.django_db
class TestReserving:
    """A tool may pay by what it uses, as a view may."""

    @pytest.fixture(autouse=True)
    def registered(self) -> None:
        metered_tool("ai_agent_query", {**TEXT, "length": {"type": "integer"}})(answers)

    def test_it_pays_by_its_units(self, dave: Customer) -> None:
        listed = {listed["name"]: listed for listed in result(send(dave, message("tools/list")))["tools"]}
        assert listed["answers"]["description"].endswith("Costs 5 tokens.")
        response = call(dave, "answers", {"question": "Why?", "length": 4})
        assert content(response) == {"charged": 4}
        assert used(dave) == 4

    def test_a_refused_reservation_is_a_refusal(self, dave: Customer) -> None:
        Plan.objects.filter(code="business").update(monthly_token_quota=8)
        response = call(dave, "answers", {"question": "Why?"})
        said = error(response, 429)
        assert (said["code"], said["data"]["code"]) == (-32000, "quota_exceeded")
        assert used(dave) == 0
