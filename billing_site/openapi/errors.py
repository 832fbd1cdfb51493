"""The page that a problem's `type` leads to: every code with its status, what it means and what to do."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.http.error_codes import ERRORS


def errors(request: HttpRequest) -> HttpResponse:
    by_status = sorted(ERRORS.values(), key=lambda error: error.status)
    groups = [(HTTPStatus(status), list(codes)) for status, codes in groupby(by_status, key=lambda error: error.status)]
    return render(request, "api/errors.html", {"groups": groups})
