"""A host product's views, each decorated in another way, at paths outside of /api/v1/ and without a route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from rest_framework.decorators import action, api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from billing.http.access import PUBLIC
from billing_site import urls as site
from billing_site.metered import metered, requires, reserve, track

handler400, handler403, handler404, handler500 = site.handler400, site.handler403, site.handler404, site.handler500
runs: list[str] = []


def answer(request: Any, name: str) -> HttpResponse:
    runs.append(name)
    return JsonResponse({"user": request.user.get_username()}, status=int(request.GET.get("status", "200")))


@metered("risk_score")
def plain(request: HttpRequest) -> HttpResponse:
    return answer(request, "plain")


@csrf_exempt
@metered("risk_score")
def exempt(request: HttpRequest) -> HttpResponse:
    return answer(request, "exempt")


@login_required
@metered("risk_score")
def members(request: HttpRequest) -> HttpResponse:
    return answer(request, "members")


@metered("risk_score")
async def later(request: HttpRequest) -> HttpResponse:
    runs.append("later")
    return JsonResponse({"user": (await request.auser()).get_username()}, status=int(request.GET.get("status", "200")))


@metered("risk_score")
class Decorated(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(request, "class")


@method_decorator(metered("risk_score"), name="dispatch")
class ByMethodDecorator(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(request, "method_decorator")


class Heir(Decorated):
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request, "heir")


@metered("wallet_scan")
class DearHeir(Decorated):
    pass


@metered("risk_score")
class Async(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        runs.append("async class")
        return JsonResponse({"user": (await request.auser()).get_username()})


@metered("risk_score")
class Rest(APIView):
    def get(self, request: Request) -> Response:
        runs.append("rest")
        return Response({"user": request.user.get_username()})


class RestByMethod(APIView):
    @metered("risk_score")
    def get(self, request: Request) -> Response:
        runs.append("rest get")
        return Response({"user": request.user.get_username()})

    def post(self, request: Request) -> Response:
        return Response({"anybody": True})


@requires("investigator")
class Items(ViewSet):
    @metered("risk_score")
    def list(self, request: Request) -> Response:
        runs.append("list")
        return Response([])

    @metered("wallet_scan")
    def create(self, request: Request) -> Response:
        runs.append("create")
        return Response({}, status=201)

    @metered("trace_expand")
    @action(detail=False)
    def digest(self, request: Request) -> Response:
        runs.append("digest")
        return Response({})

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response({"pk": pk})


@metered("risk_score")
@api_view(["GET"])
def function_of_rest(request: Request) -> Response:
    runs.append("api_view")
    return Response({"user": request.user.get_username()})


@requires("investigator")
def investigators(request: HttpRequest) -> HttpResponse:
    return answer(request, "investigators")


@requires("ai_agents")
@requires("investigator")
@metered("risk_score")
def both(request: HttpRequest) -> HttpResponse:
    return answer(request, "both")


@requires("correlation")
@metered("graph_query")
def beside_the_features_own(request: HttpRequest) -> HttpResponse:
    return answer(request, "beside")


class Public(View):
    """Declared public, but for the method that is metered."""

    access = PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"anybody": True})

    @metered("risk_score")
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request, "public post")


def hides(view: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as some write it: without functools.wraps."""

    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs)

    return run


def hides_later(view: Callable[..., Any]) -> Callable[..., Any]:
    async def run(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return await view(request, *args, **kwargs)

    return run


@hides
@metered("risk_score")
def hidden(request: HttpRequest) -> HttpResponse:
    return answer(request, "hidden")


@requires("investigator")
@hides
@metered("risk_score")
def half_hidden(request: HttpRequest) -> HttpResponse:
    return answer(request, "half hidden")


@hides_later
@metered("risk_score")
async def hidden_later(request: HttpRequest) -> HttpResponse:
    runs.append("hidden later")
    return HttpResponse()


def calls_another(request: HttpRequest) -> HttpResponse:
    return plain(request)


@metered("wallet_scan")
def calls_another_of_its_own(request: HttpRequest) -> HttpResponse:
    return plain(request)


@metered("wallet_scan")
class CallsAnother(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return plain(request)


@metered("wallet_scan")
class DearButForPost(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(request, "dear get")

    @metered("risk_score")
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request, "cheap post")

    def put(self, request: HttpRequest) -> HttpResponse:
        return self.post(request)


@api_view(["GET"])
@metered("risk_score")
def within_api_view(request: Request) -> Response:
    runs.append("within api_view")
    return Response({})


@metered("not_sold")
def unknown(request: HttpRequest) -> HttpResponse:
    return answer(request, "unknown")


@requires("not_known")
def unknown_capability(request: HttpRequest) -> HttpResponse:
    return answer(request, "unknown capability")


@metered("trace_start")
def tracks(request: HttpRequest) -> HttpResponse:
    """A page's own call, and another one of a feature that the caller names."""
    tracked = track(request.user, request.GET["feature"], {"page": 7})
    return JsonResponse({"event": tracked.event, "tokens": tracked.tokens, "remaining": tracked.remaining})


@requires("investigator")
def reserves(request: HttpRequest) -> HttpResponse:
    held = reserve(request.user, "risk_score", tokens=int(request.GET["tokens"]))
    return JsonResponse({"charged": held.settle(tokens=3).charged})


router = SimpleRouter(trailing_slash=False)
router.register("own/items", Items, basename="items")
urlpatterns = [
    path("own/plain", plain),
    path("own/exempt", exempt),
    path("own/members", members),
    path("own/later", later),
    path("own/class", Decorated.as_view()),
    path("own/method-decorator", ByMethodDecorator.as_view()),
    path("own/heir", Heir.as_view()),
    path("own/dear-heir", DearHeir.as_view()),
    path("own/async-class", Async.as_view()),
    path("own/rest", Rest.as_view()),
    path("own/rest-by-method", RestByMethod.as_view()),
    path("own/in-the-urls", metered("risk_score")(ByMethodDecorator.as_view())),
    path("own/function-of-rest", function_of_rest),
    path("own/investigators", investigators),
    path("own/both", both),
    path("own/beside", beside_the_features_own),
    path("own/public", Public.as_view()),
    path("own/hidden", hidden),
    path("own/half-hidden", half_hidden),
    path("own/hidden-later", hidden_later),
    path("own/hidden-class", hides(Rest.as_view())),
    path("own/hidden-async-class", hides_later(Async.as_view())),
    path("own/within-api-view", within_api_view),
    path("own/calls-another", calls_another),
    path("own/calls-another-of-its-own", calls_another_of_its_own),
    path("own/class-calls-another", CallsAnother.as_view()),
    path("own/dear-but-for-post", DearButForPost.as_view()),
    path("own/dear-in-the-urls", metered("wallet_scan")(Decorated.as_view())),
    path("own/unknown", unknown),
    path("own/unknown-capability", unknown_capability),
    path("own/tracks", tracks),
    path("own/reserves", reserves),
    path("api/v1/own/plain", plain),
    path("api/v1/own/hidden", hidden),
    *router.urls,
    path("", include(site.urlpatterns)),
]
