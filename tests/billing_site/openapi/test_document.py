"""The OpenAPI document, and the page that shows it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from django.core.management import call_command
from django.urls import URLPattern, get_resolver, resolve
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from billing.http.views import ApiView
from billing.models import Route
from billing_site.agent.views import AgentView
from billing_site.openapi.document import document
from billing_site.sandbox import SandboxView
from tests import schema
from tests.cast import Customer
from tests.effort import examples

CHECKOUT = Path(__file__).resolve().parents[3]
EVENT = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"
SAMPLES = {"event": EVENT, "reservation": EVENT}
METHODS = {"get", "post", "put", "patch", "delete"}
PUBLIC = {"getIndex", "listPlans", "getPlan", "listFeatures", "listModels"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def by_id(operation_id: str) -> dict[str, Any]:
    return next(operation for _, _, operation in operations() if operation["operationId"] == operation_id)


def resolved(entry: dict[str, Any]) -> dict[str, Any]:
    """A response of an operation, its own or one that several share."""
    return document()["components"]["responses"][entry["$ref"].rpartition("/")[2]] if "$ref" in entry else entry


def at(path: str) -> str:
    """A path with its variables filled in."""
    return re.sub(r"\{(\w+)\}", lambda variable: SAMPLES.get(variable[1], "starter"), path)


# --- The document as such


def test_document_is_valid_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1.")
    errors = OpenAPIV31SpecValidator(document()).iter_errors()
    assert [error.message for error in errors] == []


def test_generating_it_warns_of_nothing() -> None:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    assert yaml.safe_load(out.getvalue()) == document()


def test_paths_are_those_of_the_contract_without_slash_or_pattern() -> None:
    for path in document()["paths"]:
        assert re.fullmatch(r"/api/v1(/[a-z-]+|/\{[a-z]+\})*", path)
    ours = {path for path, _, operation in operations() if operation["tags"] != ["sandbox"]}
    assert {
        "/api/v1/plans",
        "/api/v1/plans/{code}",
        "/api/v1/features",
        "/api/v1/usage/current",
        "/api/v1/usage/breakdown",
        "/api/v1/usage/track",
        "/api/v1/usage/check",
        "/api/v1/usage/events/{event}",
    } <= ours


def views(patterns: Any = None) -> Iterator[Any]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None)
            if view is not None and issubclass(view, ApiView) and view.schema is not None:
                yield view
        else:
            yield from views(pattern.url_patterns)


def test_every_view_is_documented_and_everything_documented_is_there() -> None:
    served = {(view, method) for view in views() for method in METHODS if hasattr(view, method)}
    documented = set()
    for path, method, _ in operations():
        for spelling in (at(path), at(path) + "/"):
            documented.add((resolve(spelling).func.cls, method))  # type: ignore[attr-defined]
    assert documented == served


def test_what_is_refused_for_a_member_too_many_says_so() -> None:
    """Every body but the sandbox', whose input is any object, and the agents', whose protocol has members to come."""
    for path, _, operation in operations():
        if "requestBody" in operation and operation["tags"] not in (["sandbox"], ["agents"]):
            asked = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert document()["components"]["schemas"][asked]["additionalProperties"] is False, path


def test_head_and_options_are_not_listed() -> None:
    assert {method for _, method, _ in operations()} <= METHODS


# --- What every operation says


def test_operations_have_a_name_of_their_own_a_summary_and_a_known_tag() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in names)
    tags = {tag["name"] for tag in document()["tags"]}
    for path, _, operation in operations():
        assert operation["summary"] and operation["summary"][-1] not in ".,:;", path
        assert len(operation["tags"]) == 1 and set(operation["tags"]) <= tags


def test_key_or_session_and_nothing_at_all_where_it_is_public() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert schemes["apiKey"]["scheme"] == "bearer"
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "sessionid")
    for _, _, operation in operations():
        nobody = [{}] if operation["operationId"] in PUBLIC else []
        assert operation["security"] == [{"apiKey": []}, {"session": []}, *nobody]


def test_every_operation_documents_what_the_gateway_answers() -> None:
    for path, _, operation in operations():
        responses = operation["responses"]
        assert {"400", "401", "403", "406", "429", "503"} <= set(responses), path
        for status, entry in responses.items():
            response = resolved(entry)
            media_types = set(response.get("content", {}))
            answer = {"application/pdf"} if path.endswith("/pdf") else {"application/json"}
            answer |= {"text/event-stream"} if "stream" in str(operation.get("requestBody")) else set()
            refusal = {"application/json" if "x-json-rpc" in operation else "application/problem+json"}
            assert media_types <= (answer if status < "300" else refusal), path
            headers = set(response["headers"])
            assert "X-Request-ID" in headers
            if status not in ("401", "503"):
                assert {"RateLimit", "RateLimit-Policy", "X-RateLimit-Limit"} <= headers
            waits = status in ("429", "503") or (status == "409" and "x-metered" in operation)
            assert ("Retry-After" in headers) == waits


def test_metered_operations_take_an_idempotency_key_and_tell_the_cost() -> None:
    metered = {operation["operationId"] for _, _, operation in operations() if operation.get("x-metered")}
    sandbox = {operation["operationId"] for _, _, operation in operations() if operation["tags"] == ["sandbox"]}
    assert metered == {"trackUsage", "reserveUsage", "mcp"} | sandbox
    for name in metered:
        operation = by_id(name)
        parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
        assert parameters["Idempotency-Key"]["in"] == "header"
        headers = set(operation["responses"]["201" if name == "reserveUsage" else "200"]["headers"])
        assert {"X-Usage-Cost", "X-Usage-Event", "Idempotency-Replayed"} <= headers
        refused = str(resolved(operation["responses"]["409"]))
        codes = ["idempotency_conflict", "idempotency_in_progress", "idempotency_exhausted"]
        assert [code for code in codes if code not in refused] == []


def test_types_of_numbers_money_times_and_ids() -> None:
    schemas = document()["components"]["schemas"]
    number_or_unlimited = [{"type": "integer", "minimum": 0}, {"type": "string", "enum": ["unlimited"]}]
    assert schemas["Plan"]["properties"]["monthly_token_quota"]["oneOf"] == number_or_unlimited
    assert schemas["Plan"]["properties"]["requests_per_minute"]["oneOf"] == number_or_unlimited
    assert schemas["Plan"]["properties"]["price"]["type"] == "number"
    assert schemas["CurrentUsage"]["properties"]["tokens_remaining"]["oneOf"] == number_or_unlimited
    assert schemas["CurrentUsage"]["properties"]["resets_at"]["format"] == "date-time"
    assert schemas["TrackResponse"]["properties"]["event"]["format"] == "uuid"
    event, _ = sorted(by_id("voidUsageEvent")["parameters"], key=lambda one: one["in"] != "path")
    assert event["schema"]["format"] == "uuid"


def shown_examples(node: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every example beside a schema: the schema's place in the document, and the example."""
    if isinstance(node, list):
        for position, child in enumerate(node):
            yield from shown_examples(child, f"{pointer}/{position}")
    if not isinstance(node, dict):
        return
    if isinstance(node.get("schema"), dict):
        found = [example["value"] for example in node.get("examples", {}).values()]
        found += [node["example"]] if "example" in node else []
        yield from ((f"{pointer}/schema", example) for example in found)
    for name, child in node.items():
        yield from shown_examples(child, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")


def test_every_example_fits_its_schema() -> None:
    found = list(shown_examples(document()))
    assert len(found) > 20
    for pointer, example in found:
        assert [error.message for error in schema.validator(pointer).iter_errors(example)] == [], pointer


def test_a_problem_is_told_by_its_code() -> None:
    """A client finds the one type of a body by `code`, wherever a response may have several."""
    schemas = document()["components"]["schemas"]
    found = 0
    for path, _, operation in operations():
        for status, entry in operation["responses"].items():
            content = resolved(entry).get("content", {}).get("application/problem+json")
            if content is None or "oneOf" not in content["schema"]:
                continue
            found += 1
            discriminator = content["schema"]["discriminator"]
            assert discriminator["propertyName"] == "code"
            assert {ref["$ref"] for ref in content["schema"]["oneOf"]} == set(discriminator["mapping"].values())
            for code, reference in discriminator["mapping"].items():
                says = schemas[reference.rpartition("/")[2]]["properties"]["code"]
                assert code in (says.get("const"), *says.get("enum", [])), (path, status, code)
                is_example = code == "sandbox_failure" or content["examples"][code]["value"]["code"] == code
                assert is_example, (path, status, code)
    assert found > 100


# --- The sandbox

SANDBOX_PATHS = {*SandboxView.documented_paths, *AgentView.documented_paths}


def test_sandbox_is_listed_at_the_paths_of_the_default_catalogue(catalogue: None) -> None:
    listed = {path for path, _, operation in operations() if operation["tags"] == ["sandbox"]}
    assert listed == SANDBOX_PATHS == set(Route.objects.values_list("path", flat=True))
    assert len(listed) == 8
    assert all(set(document()["paths"][path]) == {"get", "post"} for path in listed)


def test_without_the_sandbox_nothing_of_it_is_listed() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "x", "SANDBOX": "0"}
    command = [sys.executable, "manage.py", "spectacular", "--format", "openapi-json", "--fail-on-warn"]
    run = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    without = json.loads(run.stdout)
    assert set(without["paths"]) == set(document()["paths"]) - SANDBOX_PATHS
    assert "sandbox" not in [tag["name"] for tag in without["tags"]]


# --- Whatever is sent, the answer is a documented one

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
members = st.sampled_from(["feature", "metadata", "x"])
features = st.sampled_from(["trace_start", "ai_agent_query", "nonsense"])
bodies = values | st.dictionaries(members, values, max_size=3) | st.fixed_dictionaries({"feature": features | values})


@examples(80, 800, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), body=bodies)
def test_any_input_gets_a_documented_answer(erin: Customer, data: st.DataObject, body: Any) -> None:
    """The client itself compares; an undocumented status, such as a 500, fails."""
    asked = [(path, method) for path, method, operation in operations() if operation["tags"] != ["sandbox"]]
    path, method = data.draw(st.sampled_from(sorted(asked)))
    query = data.draw(
        st.dictionaries(st.sampled_from(["limit", "cursor", "from", "q"]), st.text(max_size=5), max_size=2)
    )
    text = json.dumps(body)
    response = erin.api.generic(method.upper(), at(path), text, "application/json", query_params=query)
    assert response.status_code < 500
