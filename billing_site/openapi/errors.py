"""The page that a problem's `type` leads to: every code with its status, what it means, what to do, and an example."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.http.error_codes import ERRORS
from billing.http.json import ExactJSONEncoder
from billing_site.openapi.problem_examples import example_of


def errors(request: HttpRequest) -> HttpResponse:
    by_status = sorted(ERRORS.values(), key=lambda error: error.status)
    groups = [
        (HTTPStatus(status), [(error, _example(error.code)) for error in errors])
        for status, errors in groupby(by_status, key=lambda error: error.status)
    ]
    return render(request, "api/errors.html", {"groups": groups})


def _example(code: str) -> str:
    return ExactJSONEncoder(indent=2, ensure_ascii=False).encode(example_of(code))
