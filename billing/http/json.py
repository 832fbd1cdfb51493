"""JSON in and out of the API: bounded when it comes in, with money as exact numbers when it goes out."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import simplejson
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

DEEPEST_JSON = 64


class ExactJSONEncoder(simplejson.JSONEncoder):
    """Writes a Decimal as a JSON number with the digits it has: 10.00 stays 10.00, and 1000 yen has no point.

    Writes everything else as REST framework's encoder does: dates, UUIDs, lazy strings. Raises ValueError for NaN and
    the infinities, which JSON does not have. ``json.loads(text, parse_float=Decimal)`` reads such numbers back.
    """

    def __init__(self, **options: Any) -> None:
        # The standard library writes a named tuple as an array, simplejson by default as an object.
        super().__init__(**{**options, "use_decimal": True, "namedtuple_as_object": False, "allow_nan": False})

    def default(self, o: Any) -> Any:
        return _rest_framework.default(o)


_rest_framework = JSONEncoder()


class ApiJSONRenderer(JSONRenderer):
    """REST framework's renderer with money as exact JSON numbers."""

    encoder_class = ExactJSONEncoder  # type: ignore[assignment]  # any class that json.dumps can make and ask to encode


class NotJson(ValueError):
    """The body is not JSON, or beyond the bounds of `read_json`; the message says why."""


def read_json(body: bytes) -> Any:
    """The value of a body that can also be written again and stored in PostgreSQL. Raises NotJson.

    The body is UTF-8 (RFC 8259), whatever charset the request claims. Python would read what is refused besides: NaN,
    numbers beyond a double's range, lone surrogates, and nesting beyond DEEPEST_JSON.
    """
    value = parse_json(body)
    _bounded(value, DEEPEST_JSON)
    return value


def parse_json(body: bytes) -> Any:
    """As `read_json`, but with half surrogate pairs and any nesting: for who looks at each part. Raises NotJson."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise NotJson("the body is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise NotJson("it begins with a byte order mark; send UTF-8 without one")
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotJson(str(error)) from None
    except NotJson:
        raise
    except ValueError:  # of Python's int(), which advises Python programs
        raise NotJson(f"a number has more than {sys.get_int_max_str_digits()} digits") from None


def _no_constant(name: str) -> Any:
    raise NotJson(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise NotJson("a number is too large")
    return number


def _bounded(value: Any, levels: int) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotJson("a text holds half of a surrogate pair") from None
    elif isinstance(value, dict | list):
        if levels == 0:
            raise NotJson(f"nested more than {DEEPEST_JSON} levels deep")
        for part in value:
            _bounded(part, levels - 1)
        for part in value.values() if isinstance(value, dict) else ():
            _bounded(part, levels - 1)


class StrictJSONParser(JSONParser):
    """REST framework's parser of what `read_json` accepts."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return read_json(stream.read())
        except NotJson as error:
            raise ParseError(f"JSON parse error - {error}.") from None
