"""The agent's door: a chat at the path of the sandbox's agent, and at `…/chat/completions` below it, as clients ask."""

from __future__ import annotations

import time
from typing import Any, Final

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from billing.http.openapi import METERED, problem
from billing.http.problems import TOO_LARGE, Problem
from billing_site.agent import tools
from billing_site.agent.answer import Answer
from billing_site.agent.chat import LARGEST_BODY, Chat, read_chat
from billing_site.agent.events import MEDIA_TYPE
from billing_site.agent.model import WISHES, OwnAnswer
from billing_site.agent.served import RESERVED_SECONDS, served_as_stream, served_whole
from billing_site.agent.upstream import UpstreamAnswer
from billing_site.sandbox import AGENT_PATH, AS_ASKED, ECHO, FAIL, SLEEP_MS, SandboxView, obey
from usage.api.contract import admission_of
from usage.metering.reservations.in_view import ViewReservation

COMPLETION: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string", "const": "chat.completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {"type": "array", "items": {"type": "object", "additionalProperties": {}}},
        "usage": {"type": "object", "additionalProperties": {}},
    },
    "required": ["id", "object", "created", "model", "choices"],
    "additionalProperties": {},
}
MESSAGE: Final = {
    "type": "object",
    "properties": {"role": {"type": "string"}, "content": {}},
    "required": ["role"],
    "additionalProperties": {},
}
EVENTS = {"description": "Server-sent events: `data` of each is a chunk of OpenAI's protocol, of the last `[DONE]`."}
UPSTREAM_PROBLEMS: Final = (
    problem(400, "upstream_refused") | problem(502, "upstream_failed") | problem(504, "upstream_timeout")
)


class AgentView(SandboxView):
    """Answer a chat in the shape of OpenAI's chat completions; without `messages` it is an endpoint of the sandbox.

    Tokens are reserved for what the answer may use at most, and charged by what it has used. The model's price is a
    row; a model without one is refused. A message that says "use tools" has two other features called, too.
    """

    documented_paths = (f"/api/v1/{AGENT_PATH}",)

    @extend_schema(
        request={
            "application/json": {
                "type": "object",
                "properties": {
                    "model": {"type": "string"},
                    "messages": {"type": "array", "items": MESSAGE},
                    "stream": {"type": "boolean"},
                    "stream_options": {"type": "object", "additionalProperties": {}},
                    "max_tokens": {"type": "integer", "minimum": 1},
                    "max_completion_tokens": {"type": "integer", "minimum": 1},
                    **WISHES,
                    "fail": FAIL,
                    "sleep_ms": SLEEP_MS,
                },
                "additionalProperties": {},
            },
        },
        responses={(200, "application/json"): {"anyOf": [ECHO, COMPLETION]}, (200, MEDIA_TYPE): EVENTS}
        | AS_ASKED
        | UPSTREAM_PROBLEMS,
        examples=[
            OpenApiExample(
                "A chat",
                {"model": "m-small", "messages": [{"role": "user", "content": "Hello"}], "stream": True},
                request_only=True,
            )
        ],
        extensions=METERED,
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        given = request.data
        if not isinstance(given, dict) or "messages" not in given:
            return super().post(request)
        if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
            raise Problem(413, "too_large", TOO_LARGE.format(largest=LARGEST_BODY))
        chat = read_chat(given)
        serve = served_as_stream if chat.streams else served_whole
        if settings.AGENT_UPSTREAM_URL:
            forwarded = UpstreamAnswer(chat)
            return serve(forwarded, _reserve(request, chat, forwarded))
        obey(request.query_params.dict() | given)
        own = OwnAnswer(chat, name=f"chatcmpl-{admission_of(request).call.id}", created=int(time.time()))
        return serve(own, _with_tools(request, chat, own))


def _reserve(request: Request, chat: Chat, answer: Answer, besides: int = 0) -> ViewReservation:
    """`besides`: tokens for tools, which draw them from this. Raises ReservationRefused."""
    return admission_of(request).reserve(
        model=chat.model,
        units=answer.bound,
        tokens=besides or None,
        run=_run(request),
        expires_in=RESERVED_SECONDS,
    )


def _with_tools(request: Request, chat: Chat, answer: OwnAnswer) -> ViewReservation:
    """The reservation, after the tools that the message asks for have been used. Raises ReservationRefused."""
    used = tools.tools_for(chat.last)
    catalogue = admission_of(request).snapshot.catalogue
    reservation = _reserve(request, chat, answer, tools.cost_of(used, catalogue))
    answer.say(tools.use(used, chat.last, reservation, catalogue, _run(request)))
    return reservation


def _run(request: Request) -> str:
    """The agent's run that the call is a part of, as its caller names it; empty: none."""
    return request.headers.get("Usage-Run", "")
