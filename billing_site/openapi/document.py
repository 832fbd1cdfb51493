"""The OpenAPI document: what every operation has in common is added here to what the views say (billing.http)."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml
from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from rest_framework.serializers import CharField

from billing.http.access import access_of
from billing.http.error_codes import ERRORS
from billing.http.fields import StrictSerializer
from billing.http.openapi import IDEMPOTENCY_KEY, IDEMPOTENT, JSON_RPC, METERED, USAGE_RUN
from billing.http.problems import MEDIA_TYPE
from billing.http.views import ApiView

PARTS: Final[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("parts.yaml").read_text())

TAG_OF_SEGMENT: Final = {
    **dict.fromkeys(("plans", "features", "models"), "plans"),
    **{segment: segment for segment in ("usage", "billing", "keys", "webhooks")},
    "mcp": "agents",
}

CODE_ALONE: Final = {
    "NotFound": "not_found",
    "NotAcceptable": "not_acceptable",
    "IdempotencyConflict": "idempotency_conflict",
    "TooLarge": "too_large",
    "UnsupportedMediaType": "unsupported_media_type",
    "Unavailable": "unavailable",
}
"""Problems without members of their own: component, code."""

CALLER_HEADERS: Final = (
    "X-Request-ID",
    "RateLimit-Policy",
    "RateLimit",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
PHRASES: Final = {str(status.value): status.phrase for status in HTTPStatus} | {"4XX": "Failed", "5XX": "Failed"}
USAGE_HEADERS: Final = ("X-Usage-Cost", "X-Usage-Event")
UNDECIDED_HEADERS: Final = ("X-Request-ID", "Retry-After")

Endpoint = tuple[str, str, str, Callable[..., Any]]


class OperationSchema(AutoSchema):
    """One operation: its view's own words, and the security, headers and problems that the gateway gives to all."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        if access_of(self.view).public:
            operation["security"].append({})
        responses = operation["responses"]
        names = CALLER_HEADERS + USAGE_HEADERS * self._is_metered()
        names += ("Idempotency-Replayed",) * self._takes_key()
        for status, response in responses.items():
            response["description"] = response["description"] or PHRASES[status]
            response.setdefault("headers", {}).update(_headers(names if status < "300" else CALLER_HEADERS))
        told = _as_json_rpc if JSON_RPC.items() <= self.get_extensions().items() else _either
        for status, name in self._problems(operation).items():
            responses[status] = told(responses.get(status), name)
        operation["responses"] = dict(sorted(responses.items()))
        return operation

    def _map_basic_serializer(self, serializer: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
            for name, field in serializer.fields.items():
                if isinstance(field, CharField) and not field.allow_blank and name in schema["properties"]:
                    schema["properties"][name].setdefault("minLength", 1)
        return schema

    def get_operation_id(self) -> str:
        """For views that name none: the method and the path, such as `postAgentQuery`."""
        words = "-".join(segment for segment in self._tokenize_path()).split("-")
        return self.method.lower() + "".join(word.capitalize() for word in words)

    def get_override_parameters(self) -> list[Any]:
        return [IDEMPOTENCY_KEY] * self._takes_key() + [USAGE_RUN] * self._is_metered()

    def get_tags(self) -> list[str]:
        return [TAG_OF_SEGMENT.get(self._tokenize_path()[0], "sandbox")]

    def get_summary(self) -> str:
        """The first words of the description, up to its first stop."""
        description = self.get_description().replace("`", "")
        return re.split(r"[.,:;]( |$)", description, maxsplit=1, flags=re.MULTILINE)[0]

    def _is_metered(self) -> bool:
        return METERED.items() <= self.get_extensions().items()

    def _takes_key(self) -> bool:
        """Whether it does or charges nothing again under an Idempotency-Key that it has seen."""
        return self._is_metered() or IDEMPOTENT.items() <= self.get_extensions().items()

    def _problems(self, operation: dict[str, Any]) -> dict[str, str]:
        """By status, the component of the problem that the gateway or REST framework answers with."""
        answers = {
            "400": "Invalid",
            "401": "NotAuthenticated",
            "403": "Forbidden",
            "406": "NotAcceptable",
            "429": "TooManyRequests",
            "503": "Unavailable",
        }
        if "{" in self.path or self._get_paginator() is not None:  # type: ignore[no-untyped-call]
            answers["404"] = "NotFound"
        if "requestBody" in operation:
            answers |= {"413": "TooLarge", "415": "UnsupportedMediaType"}
        if self._takes_key():
            answers["409"] = "KeyRefused" if self._is_metered() else "IdempotencyConflict"
        return answers


class GatewayAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "billing_site.request.authentication.GatewayAuthentication"
    name = ["apiKey", "session"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[str]]]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        browser = "The session of a browser that is logged in. All but GET needs X-CSRFToken as well."
        return [
            {"type": "http", "scheme": "bearer", "description": "An API key."},
            {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME, "description": browser},
        ]


_making = threading.Lock()


def document() -> dict[str, Any]:
    """The document, made once: nothing of it depends on who asks, or on the catalogue."""
    with _making:
        return _made()


@cache
def _made() -> dict[str, Any]:
    """By one thread at a time: the generator loads its extensions while it goes."""
    made: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return made


def as_served(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Preprocessing hook: paths without the optional slash, and those that a view names instead of its pattern."""
    return [
        (served, pattern, method, view)
        for path, pattern, method, view in endpoints
        for served in _documented_paths(view) or (path.rstrip("/"),)
    ]


def _documented_paths(view: Any) -> tuple[str, ...]:
    return view.cls.documented_paths if issubclass(view.cls, ApiView) else ()


def with_parts(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: add parts.yaml and the plain problems, and leave out tags that nothing has."""
    parts = copy.deepcopy(PARTS)
    result["info"] |= parts["info"]
    components = result["components"]
    for kind, members in parts["components"].items():
        components[kind] = dict(sorted({**components.get(kind, {}), **members}.items()))
    components["responses"] = dict(sorted((_plain_problems() | components["responses"]).items()))
    used = {tag for methods in result["paths"].values() for operation in methods.values() for tag in operation["tags"]}
    result["tags"] = [tag for tag in parts["tags"] if tag["name"] in used]
    return result


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _plain_problems() -> dict[str, Any]:
    return {
        name: {
            "description": description,
            "headers": _headers(UNDECIDED_HEADERS if name == "Unavailable" else CALLER_HEADERS + USAGE_HEADERS),
            "content": {MEDIA_TYPE: {"schema": _problem(code)}},
        }
        for name, (code, _, description, *_) in ((name, ERRORS[code]) for name, code in CODE_ALONE.items())
    }


def _problem(code: str) -> dict[str, Any]:
    return {
        "type": "object",
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"code": {"type": "string", "const": code}},
    }


def _either(own: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """The common response, or where the view has problems of its own with this status, both."""
    common = {"$ref": f"#/components/responses/{name}"}
    if own is None:
        return common
    shared = _shared(name)
    schema = shared["content"][MEDIA_TYPE]["schema"]
    alternatives = [*schema.get("anyOf", [schema]), own["content"][MEDIA_TYPE]["schema"]]
    return {
        "description": own["description"] or shared["description"],
        "headers": shared["headers"] | own["headers"],
        "content": {MEDIA_TYPE: {"schema": {"anyOf": alternatives}}},
    }


def _as_json_rpc(own: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """The view's own response, with the headers of the problem that it tells in its own way."""
    assert own is not None, f"the view does not describe how it tells {name}"
    return own | {"headers": _shared(name)["headers"] | own["headers"]}


def _shared(name: str) -> dict[str, Any]:
    shared: dict[str, Any] = PARTS["components"]["responses"].get(name) or _plain_problems()[name]
    return shared
