"""POST /api/v1/mcp: one JSON-RPC message in, one JSON answer out. The gateway has admitted and charged it before."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.catalogue.in_memory import Catalogue
from billing.http import problems
from billing.http.json import ApiJSONRenderer
from billing.http.views import ApiView
from billing_site.mcp import documented, messages, server, tools
from usage.api.contract import ChargedByView, mark_failed
from usage.metering.call import ChargeRequest


def charge_of_message(request: HttpRequest, catalogue: Catalogue) -> ChargeRequest:
    """The charge of the tool that a message calls; none where the message is going to be refused."""
    name, arguments = messages.called(messages.read(request)) if request.method == "POST" else (None, {})
    tool = tools.find(name)
    if tool is None:
        return ChargeRequest()
    return tool.charge_of(request, catalogue, arguments)._replace(body_of=partial(messages.compared, name, arguments))


class Mcp(ApiView):
    """The Model Context Protocol, for agents: your usage and plans, and the metered tools.

    One JSON-RPC message a request, without sessions; protocol 2026-07-28, and the handshake of earlier ones.
    """

    access = ChargedByView(charge_of=charge_of_message, problem_response=messages.problem_response)
    renderer_classes = (ApiJSONRenderer,)

    @extend_schema(
        "mcp",
        request=documented.REQUEST,
        responses=documented.RESPONSES,
        examples=documented.EXAMPLES,
        extensions=documented.EXTENSIONS,
    )
    def post(self, request: Request, **_: Any) -> HttpResponse:
        asked = request._request
        message = messages.read(asked)
        if isinstance(message, messages.Unacceptable):
            return problems.respond(asked, message.status, message.code, message.detail)
        answer = server.answer(asked)
        response = HttpResponse(answer.body, status=answer.status, content_type=answer.content_type or None)
        if _is_failure(answer.body):
            mark_failed(response)
        return response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Clients ask for a stream by GET, whatever they accept, and do without one only when that is a 405."""
        return super().perform_content_negotiation(request, force or request.method != "POST")

    def handle_exception(self, exc: Exception) -> Any:
        """What REST framework refuses before the message is read, as JSON-RPC too."""
        response = super().handle_exception(exc)
        told = messages.problem_response(self.request._request, response.data)
        for name, value in response.headers.items():
            told.headers.setdefault(name, value)
        return told


def _is_failure(body: bytes) -> bool:
    """Whether an answer says that the call has failed: a JSON-RPC error, or a tool's `isError`."""
    answer = json.loads(body) if body else {}
    return "error" in answer or bool(answer.get("result", {}).get("isError"))
