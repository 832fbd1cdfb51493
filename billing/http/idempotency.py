"""The Idempotency-Key header: what a valid key is, when two requests are the same, and billing writes that happen once.

Metered calls read their key here as well; what a key means to them is decided with their charge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from django.core.exceptions import RequestDataTooBig
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from billing.http.json import ApiJSONRenderer
from billing.http.problems import Problem
from billing.http.views import account_of
from billing.models import StoredResponse

LONGEST_KEY: Final = 255
IDEMPOTENCY_KEY: Final = "HTTP_IDEMPOTENCY_KEY"
"""The header as WSGI names it."""


class InvalidIdempotencyKey(Exception):
    """The header is too long, empty, or not printable ASCII; the message says what to give."""


def key_of(request: HttpRequest) -> str | None:
    """The request's key; None without the header. Raises InvalidIdempotencyKey."""
    key: str | None = request.META.get(IDEMPOTENCY_KEY)
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise InvalidIdempotencyKey(f"Give 1 to {LONGEST_KEY} printable ASCII characters.")
    return key


def idempotent(
    request: Request, now: datetime, prepare: Callable[[], Callable[[], Response]], *, secret: str = ""
) -> HttpResponseBase:
    """The response of a billing write; under an Idempotency-Key the first success is stored and given again for 24 h.

    `prepare` checks the request, outside of any transaction, and returns what makes the change; that runs in the
    transaction that stores the response. A second request under the key waits for the first. If either step raises,
    nothing is changed or stored, and the key stays free. Raises Problem: 400 `invalid` for a bad key, 409
    `idempotency_conflict` for a key that another request has used.

    `secret` names a member that only the first response has: it is null in the one that is stored and given again.
    """
    try:
        key = key_of(request._request)
    except InvalidIdempotencyKey as error:
        detail = f"The Idempotency-Key header is not valid. {error}"
        raise Problem(400, "invalid", detail, errors={"Idempotency-Key": [str(error)]}) from None
    if key is None:
        return prepare()()
    if request.content_type != "application/json":
        _ = request.data  # Refuses other media types now: once the digest has read a form, the view finds it empty.
    account, digest = account_of(request), fingerprint(request._request)
    if stored := _stored(account, key, digest, now):
        return _response(stored, replayed=True)
    change = prepare()
    with transaction.atomic(durable=True):
        _lock(account, key)
        if stored := _stored(account, key, digest, now):
            return _response(stored, replayed=True)
        response = change()
        stored = _store(account, key, digest, now, response.status_code, _rendered(response, without=secret))
        # Given as it was rendered, so that a replay is the same.
        return _response(stored, replayed=False, body=_rendered(response) if secret else None)


def once(account: int, key: str, now: datetime, change: Callable[[], str]) -> str:
    """What a change gave when it was first made under a key of the last 24 h: for forms, which browsers send twice.

    It is made in the transaction that stores what it gives. If it raises, the key stays free.
    """
    with transaction.atomic(durable=True):
        _lock(account, key)
        stored = _stored(account, key, "", now)
        if stored is not None:
            return stored.body
        given = change()
        first = {"fingerprint": "", "status": 200, "body": given, "created_at": now}
        StoredResponse.objects.update_or_create(account_id=account, key=key, defaults=first)
        return given


def _lock(account: int, key: str) -> None:
    """Hold the key until the transaction ends.

    Before the change locks anything: whoever waits for a key holds nothing that somebody else may wait for.
    """
    with connection.cursor() as cursor:
        # By a digest: two keys that share it only wait for each other.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"answer {account} {key}"])


def _stored(account: int, key: str, fingerprint: str, now: datetime) -> StoredResponse | None:
    stored = StoredResponse.objects.kept(now).filter(account=account, key=key).first()
    if stored is not None and stored.fingerprint != fingerprint:
        detail = "This Idempotency-Key was used for another request. Send a new key for a new request."
        raise Problem(409, "idempotency_conflict", detail)
    return stored


def _rendered(response: Response, *, without: str = "") -> str:
    if response.data is None:
        return ""
    data = {**response.data, without: None} if without else response.data
    return str(ApiJSONRenderer().render(data).decode())


def _store(account: int, key: str, fingerprint: str, now: datetime, status: int, body: str) -> StoredResponse:
    """Store the response; it replaces one under the same key that is no longer kept."""
    first = {"fingerprint": fingerprint, "status": status, "body": body, "created_at": now}
    return StoredResponse.objects.update_or_create(account_id=account, key=key, defaults=first)[0]


def _response(stored: StoredResponse, *, replayed: bool, body: str | None = None) -> HttpResponse:
    response = HttpResponse(
        stored.body if body is None else body, status=stored.status, content_type="application/json"
    )
    if not stored.body:
        del response["Content-Type"]
    if replayed:
        response["Idempotency-Replayed"] = "true"
    return response


def fingerprint(request: HttpRequest) -> str:
    """A digest of method, path with query, and body: equal for the same request sent again. Hexadecimal, 64 digits."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    for part in _body(request):
        digest.update(part)
    return digest.hexdigest()


def _body(request: HttpRequest) -> Iterator[bytes]:
    if request.method == "POST" and request.content_type == "multipart/form-data":
        # The check for CSRF may have read the stream, and files may be larger than a body in memory.
        try:
            request.FILES.lists()
        except MultiPartParserError:
            yield os.urandom(16)
            return
        for name, values in sorted(request.POST.lists()):
            yield f"{name}={values!r}\n".encode(errors="backslashreplace")
        for name, files in sorted(request.FILES.lists()):
            for file in files:
                yield f"{name}={file.name!r} {file.size}\n".encode(errors="backslashreplace")
                yield from file.chunks()
                file.seek(0)
        return
    try:
        yield request.body
    except RequestDataTooBig:
        # Read by nobody, and so like no other: a view that takes it nevertheless is never served unpaid.
        yield os.urandom(16)
