"""Runs one call of a tool: checks its arguments, and makes a refusal or a failure a result that agents can read."""

from __future__ import annotations

import json
import logging
from typing import Any, Final, NamedTuple

from django.http import HttpRequest
from rest_framework.views import APIView

from billing.http.exception_handler import exception_handler
from billing.http.json import ExactJSONEncoder
from billing.rules.tokens.model_prices import WrongUnits
from billing_site.mcp.tools import Tool, ToolFailed
from usage.api.contract import admission_of, caller_of
from usage.metering.admit import Unavailable
from usage.metering.reservations.refusals import ReservationRefused

logger = logging.getLogger(__name__)
BROKEN: Final = "Something went wrong here. Tokens that the call took were given back."
NOT_OFFERED: Final = "This key may not call the tool; tools/list has those that it may."


class ToolResult(NamedTuple):
    """What a tool answers: the JSON as text, the same as an object, and whether the call has failed."""

    text: str
    content: dict[str, Any] | None = None
    has_failed: bool = False


def run(request: HttpRequest, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
    """The result of a call, on the request's own thread. Raises what refuses a reservation that the tool asks for."""
    admission, caller = admission_of(request), caller_of(request)
    # What runs is what the gateway has charged, however the library and the gateway have read the message.
    if not tool.is_offered(caller, admission.snapshot.catalogue) or not tool.is_paid(admission):
        return ToolResult(NOT_OFFERED, has_failed=True)
    if wrong := wrong_argument(tool, arguments):
        return ToolResult(wrong, has_failed=True)
    try:
        return _answer(tool.run(request, **arguments))
    except ToolFailed as error:
        return ToolResult(str(error), has_failed=True)
    except (ReservationRefused, WrongUnits, Unavailable):
        raise  # is answered as when the gateway refuses a call
    except Exception as error:
        refusal = exception_handler(error, {"view": APIView(), "request": None})
        if refusal is None:
            logger.exception("the tool %s has failed", tool.name)
            return ToolResult(BROKEN, has_failed=True)
        return _answer(refusal.data, has_failed=True)


def _answer(content: dict[str, Any], *, has_failed: bool = False) -> ToolResult:
    """Money keeps its digits in the text; as an object it is a number."""
    text = ExactJSONEncoder(ensure_ascii=False).encode(content)
    return ToolResult(text, json.loads(text), has_failed)


def wrong_argument(tool: Tool, arguments: dict[str, Any]) -> str:
    """What is wrong with the arguments, in words of ours; empty where nothing is."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(tool.input_schema).iter_errors(arguments))
    if error is None:
        return ""
    known = ", ".join(f"`{name}`" for name in tool.arguments) or "none"
    if error.validator == "required":
        missing = next(name for name in tool.required if name not in arguments)
        return f"The argument `{missing}` is missing. Known are: {known}."
    if not error.absolute_path:
        return f"There is an argument that the tool does not know. Known are: {known}."
    wanted = json.dumps(error.validator_value)[:200]
    return f"The argument `{error.absolute_path[0]}` is not as wanted: {error.validator} {wanted}."
