"""REST framework's exceptions as problems."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from billing.http.problems import CODE_OF_STATUS, MEDIA_TYPE, TOO_LARGE, Problem, document, title_of
from ratelimit.servers.single import RedisUnreachable

logger = logging.getLogger(__name__)
ENGINE_GONE = (OperationalError, InterfaceError, RedisUnreachable, RedisConnectionError, RedisTimeoutError)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's hook: what its views raise, as a problem. None, for an unexpected error, leaves it to Django."""
    error = _as_problem(error)
    response: Response | None = drf_exception_handler(error, context)
    if response is None:
        return None
    code, members = CODE_OF_STATUS.get(response.status_code, "invalid"), {}
    detail = str(getattr(error, "detail", title_of(response.status_code)))
    if isinstance(error, Problem):
        code, members = error.code, error.members
    elif isinstance(error, exceptions.ValidationError):
        detail, members = "The request is not valid; see errors.", {"errors": _field_errors(error.detail)}
    elif isinstance(error, exceptions.MethodNotAllowed):
        detail = f"{detail} Allowed are: {', '.join(context['view'].allowed_methods)}."
    elif isinstance(error, exceptions.UnsupportedMediaType):
        detail = f"{detail} Send {' or '.join(parser.media_type for parser in context['view'].parser_classes)}."
    elif isinstance(error, exceptions.NotAuthenticated):
        members = {"reason": "missing"}
    elif isinstance(error, exceptions.ParseError):
        members = {"errors": {"non_field_errors": [detail]}}
    response.data = document(response.status_code, code, detail, **members)
    request = context.get("request")
    if getattr(getattr(request, "accepted_renderer", None), "format", "json") == "json":
        response.content_type = MEDIA_TYPE
    return response


def _as_problem(error: Exception) -> Exception:
    """A body that is too large, or an engine that does not answer, as a problem; any other error as it is."""
    if isinstance(error, RequestDataTooBig):
        return Problem(413, "too_large", TOO_LARGE.format(largest=settings.DATA_UPLOAD_MAX_MEMORY_SIZE))
    if isinstance(error, ENGINE_GONE):
        logger.warning("a view is answered with 503: %s", error)
        return Problem(503, "unavailable", "A part of this service does not answer at the moment. Try again.")
    return error


def _field_errors(detail: Any) -> dict[str, list[str]]:
    if isinstance(detail, dict):
        return {str(name): _messages(value) for name, value in detail.items()}
    return {"non_field_errors": _messages(detail)}


def _messages(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}: {message}" for name, inner in value.items() for message in _messages(inner)]
    if isinstance(value, list):
        return [message for inner in value for message in _messages(inner)]
    return [str(value)]
