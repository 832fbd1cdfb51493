"""JSON as it goes out: money as exact numbers, everything else byte for byte as REST framework writes it."""

from __future__ import annotations

import json
from collections import namedtuple
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.test import RequestFactory
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

from billing.http import problems
from billing.http.json import ApiJSONRenderer, ExactJSONEncoder
from billing.rules.money import in_currency

Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("amount", "currency", "number"),
    [(10, "USD", "10.00"), (1000, "JPY", "1000"), (10, "KWD", "10.000"), (-1, "USD", "-1.00"), (0, "USD", "0.00")],
)
def test_money_is_a_number_with_the_currencys_decimals(amount: int, currency: str, number: str) -> None:
    money = in_currency(amount, currency)
    assert ExactJSONEncoder().encode(money) == number
    answer = ApiJSONRenderer().render({"a": [money, {"b": money}], "c": "10.00"})
    assert answer == f'{{"a":[{number},{{"b":{number}}}],"c":"10.00"}}'.encode()
    indented = ApiJSONRenderer().render({"a": money}, "application/json; indent=2")
    assert indented == f'{{\n  "a": {number}\n}}'.encode()


def test_a_problem_writes_it_too() -> None:
    request = RequestFactory().get("/", headers={"accept": "application/json"})
    response = problems.respond(request, 400, "invalid", "Größer.", amount=Decimal("10.00"))
    assert response.content == (
        b'{"type": "/api/docs/errors#invalid", "title": "Bad Request", "status": 400, "detail": "Gr\\u00f6\\u00dfer.",'
        b' "code": "invalid", "amount": 10.00}'
    )


@pytest.mark.parametrize(
    "number",
    [float("nan"), float("inf"), float("-inf"), *map(Decimal, ("NaN", "-NaN", "sNaN", "Infinity", "-Infinity"))],
    ids=str,
)
def test_what_json_has_no_number_for_is_refused(number: Any) -> None:
    for value in (number, [number], {"a": number}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            ExactJSONEncoder().encode(value)
        with pytest.raises(ValueError, match="not JSON compliant"):
            ApiJSONRenderer().render(value)


def test_what_json_cannot_write_is_still_an_error() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        ExactJSONEncoder().encode(object())


def test_what_rest_framework_knows_is_written_as_it_writes_it() -> None:
    answer = {
        "at": datetime(2025, 10, 16, tzinfo=UTC),
        "to the microsecond": datetime(2025, 10, 16, 1, 2, 3, 4, tzinfo=UTC),
        "on": date(2025, 10, 16),
        "time": time(1, 2),
        "for": timedelta(minutes=1),
        "id": UUID(int=7),
        "lazy": gettext_lazy("yes"),
        "bytes": "ä".encode(),
        "named tuple": Point(1, 2),
        "tuple": (1, 2),
        "set": {3},
        "percentage": 90.0,
        "small": 1e-7,
        "large": 10**30,
        "note": 'a "quoted" \\ 10.00 \u2028 \u2029 \x7f \x00 ä €',
        7: True,
        None: None,
    }
    for media_type in (None, "application/json; indent=4"):
        assert ApiJSONRenderer().render(answer, media_type) == JSONRenderer().render(answer, media_type)


WITHOUT_MONEY = st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
MONEY = st.decimals(allow_nan=False, allow_infinity=False)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )


@given(nested(WITHOUT_MONEY), st.sampled_from([None, 2]), st.booleans())
def test_without_money_the_bytes_are_the_standard_librarys(value: Any, indent: int | None, ensure_ascii: bool) -> None:
    ours = json.dumps(value, cls=ExactJSONEncoder, indent=indent, ensure_ascii=ensure_ascii)  # type: ignore[arg-type]
    assert ours == json.dumps(value, cls=JSONEncoder, indent=indent, ensure_ascii=ensure_ascii)


def as_read(value: Any) -> Any:
    """What a reader gets: a Decimal without point or exponent reads as an integer."""
    if isinstance(value, Decimal):
        return json.loads(str(value), parse_float=Decimal)
    if isinstance(value, list):
        return [as_read(item) for item in value]
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    return value


@given(nested(st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53) | MONEY), st.sampled_from([None, 2]))
def test_everything_reads_back_as_it_was(value: Any, indent: int | None) -> None:
    read = json.loads(ExactJSONEncoder(indent=indent).encode(value), parse_float=Decimal)
    assert read == as_read(value)
    assert str(read) == str(as_read(value))
