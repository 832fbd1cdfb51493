"""How a billing write answers: under an Idempotency-Key its first success is stored and given again, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from billing.http import idempotency_keys, stored_answers
from billing.http.idempotency_keys import InvalidIdempotencyKey
from billing.http.json import ApiJSONRenderer
from billing.http.problems import Problem
from billing.http.stored_answers import Answer, KeyReused
from billing.http.views import account_of


def answered_once(request: Request, now: datetime, prepare: Callable[[], Callable[[], Response]]) -> HttpResponseBase:
    """Prepare a change and make it; with an Idempotency-Key, once in 24 hours.

    `prepare` reads the request and asks what cannot be asked within a transaction. What it returns makes the change
    and is called within one that also stores the answer; an exception from either leaves the key free.
    """
    try:
        key = idempotency_keys.key_of(request._request)
    except InvalidIdempotencyKey as error:
        detail = f"The Idempotency-Key header is not valid. {error}"
        raise Problem(400, "invalid", detail, errors={"Idempotency-Key": [str(error)]}) from None
    if key is None:
        return prepare()()
    if request.content_type != "application/json":
        _ = request.data  # a media type that is none of ours is refused here; a form read for its digest is not later
    account, fingerprint = account_of(request), idempotency_keys.fingerprint(request._request)
    try:
        answer = stored_answers.find(account, key, fingerprint, now)
        if answer is None:
            change = prepare()
            answer = stored_answers.answer_once(account, key, fingerprint, now, lambda: _rendered(change()))
    except KeyReused:
        detail = "This Idempotency-Key was used for another request. Send a new key for a new request."
        raise Problem(409, "idempotency_conflict", detail) from None
    return _response(answer)


def _rendered(response: Response) -> Answer:
    body = b"" if response.data is None else ApiJSONRenderer().render(response.data)
    return Answer(response.status_code, body.decode())


def _response(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, content_type="application/json")
    if not answer.body:
        del response["Content-Type"]
    if answer.replayed:
        response["Idempotency-Replayed"] = "true"
    return response
