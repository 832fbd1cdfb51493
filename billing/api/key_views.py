"""API keys over HTTP: made, shown once, renamed, rotated, revoked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from billing.api.domain_problems import asked
from billing.api.key_serializers import (
    KeyChangeRequest,
    KeySerializer,
    NewKeyRequest,
    NewKeySerializer,
    RotationRequest,
)
from billing.api.sentences import to_customer
from billing.entitlements import api_keys
from billing.entitlements.callers import Caller
from billing.http.fields import NothingAsked
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.pagination import NewestFirst
from billing.http.problems import Problem
from billing.http.views import ApiView, OwnList, account_of
from billing.models import ApiKey

FORBIDDEN: Final = problem(403, "forbidden")
KEY_ID: Final = OpenApiParameter("id", str, OpenApiParameter.PATH, description="The key's `id`.")


class KeyPages(NewestFirst):
    ordering = ("-created", "-pk")


class Managed(ApiView):
    """For a session, and for a key of scope `manage`."""

    refused_detail: ClassVar = "This key may not look at keys or change them: log in, or use a key of scope manage."

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        caller = _caller(request)
        if caller.identity is not None and not caller.may(ApiKey.Scope.MANAGE):
            raise Problem(403, "forbidden", self.refused_detail)
        super().initial(request, *args, **kwargs)


@extend_schema_view(get=extend_schema("listKeys", responses={200: KeySerializer(many=True)} | FORBIDDEN))
class KeyList(Managed, OwnList):
    """Your API keys, newest first, also those that have ended; never the keys themselves."""

    model = ApiKey
    serializer_class = KeySerializer
    pagination_class = KeyPages

    def rows_of(self, account: int) -> QuerySet[ApiKey]:
        return api_keys.keys_of(account)

    @extend_schema(
        "createKey",
        extensions=IDEMPOTENT,
        request=NewKeyRequest,
        responses={201: NewKeySerializer} | problem(400, "too_many_keys") | FORBIDDEN,
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        """Make a key. It is shown once, in this answer."""
        now = timezone.now()
        return idempotent(request, now, lambda: _create(request, now), secret="key")


class KeyDetail(Managed):
    """One of your keys."""

    @extend_schema(
        "changeKey",
        extensions=IDEMPOTENT,
        parameters=[KEY_ID],
        request=KeyChangeRequest,
        responses={200: KeySerializer} | FORBIDDEN | problem(409, "key_ended"),
    )
    def patch(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Give the key another name, time at which it expires, or limits. What has ended stays as it is."""
        now = timezone.now()
        return idempotent(request, now, lambda: _change(request, id, now))

    @extend_schema(
        "revokeKey",
        extensions=IDEMPOTENT,
        parameters=[KEY_ID],
        request=None,
        responses={204: None} | FORBIDDEN,
    )
    def delete(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Revoke the key: calls with it are refused from the next one on, for good."""
        return idempotent(request, timezone.now(), lambda: _revoke(request, id))


class KeyRotation(Managed):
    """Another key in the place of one."""

    @extend_schema(
        "rotateKey",
        extensions=IDEMPOTENT,
        parameters=[KEY_ID],
        request=RotationRequest,
        responses={201: NewKeySerializer}
        | problem(400, "too_many_keys")
        | FORBIDDEN
        | problem(409, "key_ended", "already_rotated"),
    )
    def post(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Make a key of the same name, scope, limits and span of life, shown once.

        The present one goes on for the overlap. A key is rotated once. A key of scope `manage` rotates no key that may
        more than it may.
        """
        now = timezone.now()
        return idempotent(request, now, lambda: _rotate(request, id, now), secret="key")


def _caller(request: Request) -> Caller:
    caller: Any = request.auth  # as the gateway identified it
    assert isinstance(caller, Caller)
    return caller


def _create(request: Request, now: datetime) -> Callable[[], Response]:
    given, account = asked(NewKeyRequest, request), account_of(request)

    def make() -> Response:
        with _as_problems():
            new = api_keys.create(account, given.pop("name"), now, **given)
        return _made(new)

    return make


def _rotate(request: Request, key: str, now: datetime) -> Callable[[], Response]:
    overlap, account = asked(RotationRequest, request)["overlap"], account_of(request)

    def make() -> Response:
        with _as_problems():
            new = api_keys.rotate(account, key, overlap, now)
        return _made(new)

    return make


def _change(request: Request, key: str, now: datetime) -> Callable[[], Response]:
    given, account = asked(KeyChangeRequest, request), account_of(request)
    limits = given.pop("limits", None)
    changes = {{"expires_at": "expiry_date"}.get(name, name): value for name, value in given.items()}

    def make() -> Response:
        with _as_problems():
            row = api_keys.change(account, key, now, changes, limits)
        return Response(KeySerializer(row).data)

    return make


def _revoke(request: Request, key: str) -> Callable[[], Response]:
    asked(NothingAsked, request)

    def make() -> Response:
        with _as_problems():
            api_keys.revoke(account_of(request), key)
        return Response(status=204)

    return make


def _made(new: api_keys.NewKey) -> Response:
    return Response({**KeySerializer(new.key).data, "key": new.text}, status=201)


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except ApiKey.DoesNotExist:
        raise Http404 from None
    except (api_keys.ExpiryPassed, api_keys.ExpiryTooFar) as error:
        raise ValidationError({"expires_at": [to_customer(error)]}) from None
    except api_keys.ScopeNotYours as error:
        raise Problem(403, "forbidden", to_customer(error)) from None
    except api_keys.TooManyKeys as error:
        raise Problem(400, error.code, to_customer(error)) from None
    except api_keys.KeyRefused as error:
        raise Problem(409, error.code, to_customer(error)) from None
