"""One schema for each code of a problem, and unions of them that are told apart by it."""

from __future__ import annotations

from typing import Any

import pytest

from billing.http.openapi import either, problem
from billing.http.problems import MEDIA_TYPE
from billing_site.openapi.problem_types import TwoMeanings, with_problem_types

BASE = {
    "type": "object",
    "required": ["code", "detail"],
    "properties": {"code": {"type": "string"}, "detail": {"type": "string"}},
}


def made(*responses: dict[Any, Any], **schemas: Any) -> dict[str, Any]:
    """A document with an operation for each of these responses."""
    paths = {}
    for number, entries in enumerate(responses):
        described = {
            status: {"content": {MEDIA_TYPE: {"schema": entry.response}}} for (status, _), entry in entries.items()
        }
        paths[f"/{number}"] = {"get": {"responses": described}}
    return with_problem_types({"paths": paths, "components": {"schemas": {"Problem": BASE} | schemas, "responses": {}}})


def content(document: dict[str, Any], path: str, status: Any) -> Any:
    return document["paths"][path]["get"]["responses"][status]["content"][MEDIA_TYPE]


def test_one_code_is_one_schema_and_has_an_example() -> None:
    document = made(problem(409, "children_open", open={"type": "integer"}))
    assert content(document, "/0", 409)["schema"] == {"$ref": "#/components/schemas/ChildrenOpen"}
    assert list(content(document, "/0", 409)["examples"]) == ["children_open"]
    schema = document["components"]["schemas"]["ChildrenOpen"]
    assert schema["required"] == ["code", "detail", "open"]
    assert schema["properties"]["code"] == {"type": "string", "const": "children_open"}
    assert schema["properties"]["detail"] == {"type": "string"}


def test_several_codes_are_told_apart_by_code() -> None:
    document = made(either(problem(400, "invalid"), problem(400, "too_many_keys", "not_an_upgrade")))
    schema = content(document, "/0", 400)["schema"]
    assert [ref["$ref"].rpartition("/")[2] for ref in schema["oneOf"]] == ["Invalid", "TooManyKeys", "NotAnUpgrade"]
    assert schema["discriminator"]["mapping"] == {
        "invalid": "#/components/schemas/Invalid",
        "not_an_upgrade": "#/components/schemas/NotAnUpgrade",
        "too_many_keys": "#/components/schemas/TooManyKeys",
    }


def test_a_problem_of_any_code_has_no_discriminator() -> None:
    document = made(either(problem(409), problem(409, "too_late")), problem(404))
    assert content(document, "/0", 409)["schema"] == {
        "anyOf": [{"$ref": "#/components/schemas/Problem"}, {"$ref": "#/components/schemas/TooLate"}]
    }
    assert content(document, "/1", 404)["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_a_products_own_code_has_a_schema_too() -> None:
    document = made(problem(409, "sold_out", left={"type": "integer"}))
    assert document["components"]["schemas"]["SoldOut"]["properties"]["left"] == {"type": "integer"}
    assert "examples" not in content(document, "/0", 409)


def test_a_code_whose_name_is_taken_is_a_problem_by_name() -> None:
    document = made(problem(409, "too_late"), TooLate={"type": "object", "properties": {}})
    assert content(document, "/0", 409)["schema"] == {"$ref": "#/components/schemas/TooLateProblem"}
    assert document["components"]["schemas"]["TooLate"] == {"type": "object", "properties": {}}


def test_a_code_with_two_meanings_is_found_when_the_document_is_made() -> None:
    with pytest.raises(TwoMeanings):
        made(problem(409, "too_late"), problem(409, "too_late", by={"type": "integer"}))
