"""The API in a browser: an answer as a page, and forms that are filled with the examples of the OpenAPI document."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, NamedTuple

from rest_framework.exceptions import APIException
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request

from billing.http.json import ExactJSONEncoder

WRITING: Final = ("POST", "PUT", "PATCH", "DELETE")


class Example(NamedTuple):
    title: str
    body: str


class Form(NamedTuple):
    """A method that the page can send, with a body or without."""

    method: str
    summary: str
    docs: str
    """Fragment of the interactive documentation."""
    takes_body: bool
    examples: list[Example]
    body: str
    """What the box is filled with: what was just sent, or the first example."""


class PageRenderer(BrowsableAPIRenderer):
    """REST framework's hook for pages, with a page of this site's own."""

    template = "api/answer.html"

    def get_context(self, data: Any, accepted_media_type: str | None, renderer_context: Any) -> dict[str, Any]:
        """What the template shows; nothing is made of REST framework's own forms, which know no JSON."""
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        renderer = self.get_default_renderer(view)
        assert renderer is not None, "a view that has no other renderer"
        operations = operations_at(request.path_info)
        description = view.get_view_description(html=False).strip()
        links = data if isinstance(data, dict) and {"next", "previous"} <= data.keys() else {}
        return {
            "content": self.get_content(renderer, data, accepted_media_type or "", renderer_context),
            "view": view,
            "request": request,
            "response": response,
            "name": self.get_name(view),
            "description": description,
            "newer": links.get("previous"),
            "older": links.get("next"),
            "only_asked_for": response.status_code == 405 and request.method == "GET",
            "parameters": _parameters(operations.get("get"), request) if "GET" in view.allowed_methods else [],
            "forms": [
                _form(method, operations.get(method.lower()), request, description)
                for method in WRITING
                if method in view.allowed_methods
            ],
            "host": request.build_absolute_uri(),
        }


def operations_at(path: str) -> dict[str, Any]:
    """The operations of the OpenAPI document by method, of the path or of what it lies below; empty: it has none."""
    from billing_site.openapi.document import document  # it needs REST framework's views, which need the renderer

    paths = document()["paths"]
    wanted = path.rstrip("/")
    for pattern, documented in _patterns():
        if pattern.fullmatch(wanted):
            return dict(paths[documented])
    below = [documented for documented in paths if wanted.startswith(f"{documented}/")]
    return dict(paths[max(below, key=len)]) if below else {}


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Those without variables first."""
    from billing_site.openapi.document import document

    paths = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]


def _form(method: str, operation: dict[str, Any] | None, request: Request, already_said: str) -> Form:
    operation = operation or {}
    described = operation.get("requestBody", {}).get("content", {}).get("application/json")
    examples = _examples(described or {})
    body = examples[0].body if examples else "{}"
    if request.method == method and (sent := _sent(request)):
        body = sent
    summary = operation.get("summary", "")
    return Form(
        method=method,
        summary="" if already_said.replace("`", "").startswith(summary) else f"{summary}.",
        docs=f"/{operation['tags'][0]}/{operation['operationId']}" if operation else "",
        takes_body=method != "DELETE" and (described is not None or not operation),
        examples=examples,
        body=body,
    )


def _examples(described: dict[str, Any]) -> list[Example]:
    given = described.get("examples", {})
    return [Example(example.get("summary") or name, _pretty(example["value"])) for name, example in given.items()] or [
        Example("An example", _pretty(value)) for value in [described.get("example")] if value is not None
    ]


def _pretty(value: Any) -> str:
    return ExactJSONEncoder(indent=2, ensure_ascii=False).encode(value)


def _sent(request: Request) -> str:
    """The body as it was sent, as far as it could be read."""
    try:
        return _pretty(request.data) if request.data else ""
    except (APIException, ValueError):
        return ""


def _parameters(operation: dict[str, Any] | None, request: Request) -> list[dict[str, Any]]:
    """What can be asked for in the query; without the cursor, which the links to other pages have."""
    given = (operation or {}).get("parameters", [])
    return [
        {
            "name": parameter["name"],
            "help": parameter.get("description", ""),
            "choices": parameter["schema"].get("enum", []),
            "type": _input_type(parameter["schema"]),
            "value": request.query_params.get(parameter["name"], ""),
        }
        for parameter in given
        if parameter["in"] == "query" and parameter["name"] != "cursor"
    ]


def _input_type(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date":
        return "date"
    return "number" if schema.get("type") == "integer" else "text"
