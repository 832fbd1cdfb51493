"""The table of codes: what is raised is explained, and the page has all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from billing.api.domain_problems import CODES, STATUSES
from billing.http.error_codes import ERRORS, PARTS, type_of
from billing.http.problems import CODE_OF_STATUS
from billing_site.openapi.problem_examples import example_of
from billing_site.request.refusals import SENTENCES
from tests.cast import Customer
from tests.schema import document, validator


def codes_in(node: Any) -> set[str]:
    """Every code that the OpenAPI document names."""
    if isinstance(node, list):
        return set().union(*map(codes_in, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(codes_in, node.values())) if node else set()
    code = node["properties"].get("code", {}) if "detail" in node.get("properties", {}) else {}
    return found | ({code["const"]} if "const" in code else set(code.get("enum", [])))


def test_every_code_is_explained_with_its_status() -> None:
    for status, code in CODE_OF_STATUS.items():
        assert ERRORS[code].status == status
    for code, status in STATUSES.items():
        assert ERRORS[CODES.get(code, code)].status == status
    assert SENTENCES.keys() <= ERRORS.keys()
    assert codes_in(document()) == ERRORS.keys() | {"sandbox_failure"}


def test_no_code_is_explained_by_two_domains() -> None:
    assert sum(map(len, PARTS)) == len(ERRORS)


def test_texts_are_sentences() -> None:
    for error in ERRORS.values():
        for text in (error.meaning, error.what_to_do, *error.members.values()):
            assert re.fullmatch(r"[A-Z`].*\.", text), text
            assert text.count("`") % 2 == 0, text


def test_a_code_of_a_host_product_has_no_page() -> None:
    assert type_of(409, "sold_out") == "about:blank"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/docs/errors", "/api/docs/errors/"])
def test_the_page_has_a_place_for_each(path: str) -> None:
    page = Client().get(path)
    assert page.status_code == 200
    assert re.findall(r'<article id="(\w+)"', page.text) == sorted(ERRORS, key=lambda code: ERRORS[code].status)
    for error in ERRORS.values():
        for name in error.members:
            assert f"<code>{name}</code>" in page.text


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_each_has_an_example_that_is_as_documented(code: str) -> None:
    example = example_of(code)
    assert (example["code"], example["status"]) == (code, ERRORS[code].status)
    name = next(name for name, each in document()["components"]["schemas"].items() if code in codes_in(each))
    errors = [error.message for error in validator(f"/components/schemas/{name}").iter_errors(example)]
    assert errors == []
    own = example.keys() - {"type", "title", "status", "detail", "code"}
    assert own <= ERRORS[code].members.keys(), "the page says what each member is"


@pytest.mark.parametrize(
    ("code", "way", "target"),
    [("not_an_upgrade", "upgrade", "starter"), ("not_a_downgrade", "downgrade", "business")],
)
def test_an_example_is_what_the_site_answers(
    customer: Callable[..., Customer], code: str, way: str, target: str
) -> None:
    zoe = customer("zoe", "pro")
    assert zoe.post(f"/api/v1/billing/{way}", {"target_plan": target}).json() == example_of(code)
