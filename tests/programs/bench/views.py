"""The view that everybody is measured on, bare and behind each peer as the peer's documentation shows it.

Limits are never reached. Peers count by address, which asks least of them: no user has to be found first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django_ratelimit.decorators import ratelimit
from django_smart_ratelimit import quota
from django_smart_ratelimit import ratelimit as smart_ratelimit
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from limits import parse
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from billing_site.request.authentication import identify
from ratelimit import scripts
from ratelimit.limiter import AdmitCommand, pack_call
from ratelimit.scripts import Script
from ratelimit.servers.single import Command
from ratelimit.store import store

RATE = "1000000/m"
TRIVIAL = Script("trivial", b"return 1", b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db")
"""The least that EVALSHA can be asked for."""

EVENT_ID = "01a204cd-6bee-7f99-843c-4b4db098945e"
EVENT = b'[1,"%s","charge",1,1793491200,1796083200,"trace_start",10,1795376901102,"gateway","uYdp3XR3",null]'
EVENT %= EVENT_ID.encode()

usual_client = redis.Redis.from_url(settings.REDIS_URL)
_storage = RedisStorage(settings.CACHE_URL)
_fixed, _moving = FixedWindowRateLimiter(_storage), MovingWindowRateLimiter(_storage)
_rate = parse("1000000 per minute")


def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"path": request.path, "method": request.method})


def evalsha(request: HttpRequest) -> JsonResponse:
    usual_client.evalsha(TRIVIAL.sha.decode(), 1, "key")
    return plain(request)


def lean_evalsha(request: HttpRequest) -> JsonResponse:
    store().run(Command(TRIVIAL, [b"key"]))
    return plain(request)


class AdmitScript:
    """The gateway's own script with nothing of the gateway around it, on the words of one call for one account."""

    asked: AdmitCommand

    def usual(self, request: HttpRequest) -> JsonResponse:
        names, words = self.asked.names, self.asked.words
        usual_client.evalsha(scripts.ADMIT.sha.decode(), len(names), *names, *words, taking(), EVENT)
        return plain(request)

    def lean(self, request: HttpRequest) -> JsonResponse:
        call = taking()
        words, packed = (*self.asked.words, call, EVENT), self.asked.packed(call, EVENT)
        store().run(Command(scripts.ADMIT, self.asked.names, words, packed))
        return plain(request)


def taking() -> bytes:
    """One request and ten tokens, now."""
    return pack_call(time.time_ns() // 1_000_000, 0, 1, 10)


admit = AdmitScript()


class Identify:
    """Middleware that finds out who is calling, as the gateway does, and nothing else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if identify(request) is None:
            raise PermissionDenied


def limits_fixed(request: HttpRequest) -> HttpResponse:
    if not _fixed.hit(_rate, "trace", request.META["REMOTE_ADDR"]):
        return HttpResponse(status=429)
    return plain(request)


def limits_moving(request: HttpRequest) -> HttpResponse:
    if not _moving.hit(_rate, "trace", request.META["REMOTE_ADDR"]):
        return HttpResponse(status=429)
    return plain(request)


class Rest(APIView):
    """The same view in REST framework: what its throttles and authentications are added to."""

    authentication_classes: list[Any] = []

    def get(self, request: Request) -> Response:
        return Response({"path": request.path, "method": request.method})


class Throttled(Rest):
    throttle_classes = [UserRateThrottle]


class ByToken(Rest):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]


class ByKnox(Rest):
    authentication_classes = [KnoxTokenAuthentication]
    permission_classes = [IsAuthenticated]


smart = smart_ratelimit(key="ip", rate=RATE, block=True)
VIEWS = {
    "plain": plain,
    "evalsha": evalsha,
    "lean-evalsha": lean_evalsha,
    "admit-script": admit.usual,
    "lean-admit-script": admit.lean,
    "limits-fixed": limits_fixed,
    "limits-moving": limits_moving,
    "django-ratelimit": ratelimit(key="ip", rate=RATE, block=True)(plain),
    "smart": smart(plain),
    "smart-quota": smart_ratelimit(key="ip", rate=RATE, block=True)(
        quota(key="ip", limit=10**9, period="month")(plain)
    ),
    "rest": Rest.as_view(),
    "rest-throttle": Throttled.as_view(),
    "rest-token": ByToken.as_view(),
    "rest-knox": ByKnox.as_view(),
}
