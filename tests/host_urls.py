"""A host product's own views beside the site's: plain functions, streams, and what is no view of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.contrib.auth.decorators import login_required
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import include, path, re_path
from django.views import View
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.http.access import PUBLIC, Access, declares
from billing_site import urls as site
from billing_site.gateway import admit_for

runs: list[str] = []
answer = 200
"""The status of `plain`, unless the query says another one."""
meanwhile: Callable[[], None] | None = None
"""What happens while `plain` runs."""
body: bytes | None = None
"""What `plain` answers with, instead of the length of what it was sent."""
handler400, handler403, handler404, handler500 = site.handler400, site.handler403, site.handler404, site.handler500


def plain(request: HttpRequest, rest: str | int = "") -> HttpResponse:
    runs.append(request.method or "")
    status = int(request.GET.get("status", answer))
    if meanwhile is not None:
        meanwhile()
    if body is not None:
        return HttpResponse(body, status=status)
    return JsonResponse({"body": len(request.body)}, status=status)


def form(request: HttpRequest) -> HttpResponse:
    runs.append("form")
    return JsonResponse({"fields": dict(request.POST.items()), "files": sorted(request.FILES)})


def stream(request: HttpRequest) -> HttpResponseBase:
    def parts() -> Iterator[bytes]:
        yield b"first "
        if "break" in request.GET:
            raise RuntimeError("the stream broke")
        yield b"last"

    return StreamingHttpResponse(parts(), status=int(request.GET.get("status", "200")))


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view broke")


def stopped(request: HttpRequest) -> HttpResponse:
    raise SystemExit("the worker is told to stop")


@declares(Access(ungated=True))
def door(request: HttpRequest) -> HttpResponse:
    """Asks for a proxy, which describes its client's request in the query."""
    refusal = admit_for(request, request.GET["method"], request.GET["path"])
    return refusal or HttpResponse(status=int(request.GET.get("status", "204")))


@declares(PUBLIC)
def open_to_all(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


@login_required
def members(request: HttpRequest) -> HttpResponse:
    """As a host product writes a view for its users."""
    return JsonResponse({"user": request.user.get_username()})


class MembersView(APIView):
    """As REST framework's own classes let a user in."""

    authentication_classes = (SessionAuthentication,)
    permission_classes = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        return Response({"user": request.user.get_username()})


async def later(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"user": user.get_username()})


def leads(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(request.GET["to"])


class NamesakeView(View):
    """A class with an attribute of the host's own that is called as ours."""

    access = "everybody"

    def get(self, request: HttpRequest) -> HttpResponse:
        runs.append("namesake")
        return HttpResponse(status=204)


urlpatterns = [
    path("host/door", door),
    path("host/namesake", NamesakeView.as_view()),
    path("api/v1/host/namesake", NamesakeView.as_view()),
    path("api/v1/host/open", open_to_all),
    path("host/members", members),
    path("host/members-api", MembersView.as_view()),
    path("host/later", later),
    path("host/leads", leads),
    path("host/plain", plain),
    path("host/Items/<int:rest>/parts", plain),
    re_path(r"^host/(?P<rest>[lL][oO][oO][sS][eE].*)$", plain),
    path("host/form", form),
    path("host/stream", stream),
    path("host/broken", broken),
    path("host/stopped", stopped),
    path("", include(site.urlpatterns)),
]
