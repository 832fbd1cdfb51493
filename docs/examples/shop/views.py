"""A plain view, one of REST framework, and an async one: each charged by a decorator."""

import asyncio
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing_site.metered import metered, plan_of, requires, track


@metered("report")
def report(request: HttpRequest) -> HttpResponse:
    """Charged when it succeeds; with ?broken=1 it fails, and its tokens are given back."""
    if request.GET.get("broken"):
        return JsonResponse({"error": "the printer is on fire"}, status=500)
    return JsonResponse({"for": request.user.get_username(), "pages": 3})


class Quotes(APIView):
    """Reading is free (a request of the minute, as all of a gated view's are); asking for a quote is charged."""

    @requires("investigator")
    def get(self, request: Request) -> Response:
        return Response({"plan": plan_of(request.user).code})

    @metered("quote")
    def post(self, request: Request) -> Response:
        return Response({"amount": 100 * int(request.data["pieces"])}, status=201)


@metered("search")
async def search(request: HttpRequest) -> HttpResponse:
    """The gateway has decided before it runs; it may wait for others as long as it likes."""
    await asyncio.sleep(0.01)
    user = await request.auser()
    return JsonResponse({"for": user.get_username(), "found": ["one", "two"]})


@requires("correlation")
def insights(request: HttpRequest) -> HttpResponse:
    """Part of the plans that have the capability. Nothing is charged."""
    return JsonResponse({"insight": "buy low, sell high"})


@metered("report")
def batch(request: HttpRequest) -> HttpResponse:
    """Its own call, and one charge for each piece beside it; above the quota the refusal is the answer."""
    done: list[Any] = [track(request.user, "quote", {"piece": number}) for number in range(int(request.GET["pieces"]))]
    return JsonResponse({"charged": sum(charge.tokens for charge in done), "remaining": done[-1].remaining})
