"""What a view declares is read however the view was made; what declares nothing is gated and not public."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from billing.http.access import PUBLIC, UNDECLARED, Access, _remembered, access_of, declares
from billing.http.views import ApiView

UNGATED = Access(ungated=True)


def undeclared(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@declares(UNGATED)
@never_cache
def declared(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@never_cache
@declares(UNGATED)
def declared_first(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Django(View):
    access = UNGATED


class Rest(APIView):
    access = PUBLIC


class Set(ViewSet):
    access = PUBLIC


class Heir(Rest):
    pass


class Namesake(View):
    access = "everybody"
    public = True
    unmetered = True


@pytest.mark.parametrize(
    ("view", "access"),
    [
        (undeclared, UNDECLARED),
        (declared, UNGATED),
        (declared_first, UNGATED),
        (Django.as_view(), UNGATED),
        (csrf_exempt(Django.as_view()), UNGATED),
        (Rest.as_view(), PUBLIC),
        (Heir.as_view(), PUBLIC),
        (Set.as_view({"get": "list"}), PUBLIC),
        (Rest(), PUBLIC),
        (ApiView.as_view(), UNDECLARED),
        (Namesake.as_view(), UNDECLARED),
        (APIView.as_view(), UNDECLARED),
    ],
)
def test_what_a_view_declares(view: Any, access: Access) -> None:
    assert access_of(view) == access


def test_what_declares_nothing_is_gated_and_not_public() -> None:
    assert (UNDECLARED.public, UNDECLARED.ungated) == (False, False)


def test_made_up_methods_push_nothing_out_of_what_is_remembered() -> None:
    view = Django.as_view()
    access_of(view, "GET")
    before = _remembered.cache_info().currsize
    for number in range(50):
        assert access_of(view, f"M{number:04}") == UNGATED
    assert _remembered.cache_info().currsize == before


def test_a_method_of_a_hosts_own_is_read_as_well() -> None:
    class Propfind(View):
        http_method_names = (*View.http_method_names, "propfind")

        @declares(UNGATED)
        def propfind(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

    view = Propfind.as_view()
    assert [access_of(view, method) for method in ("GET", "PROPFIND")] == [UNDECLARED, UNGATED]
