"""Forms of the dashboard that change something: sent once, whatever the browser does."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect

from billing.http.idempotency import once
from billing.http.problems import Problem
from billing.rules.refused import Refused
from billing_site.dashboard.access import DashboardRequest
from billing_site.dashboard.sentences import on_page, problem_on_page

TOKEN = "form"
NOT_OF_THE_FORM = frozenset({TOKEN, "csrfmiddlewaretoken"})


def form_token(request: HttpRequest) -> dict[str, str]:
    """Context processor: `form_token`, another one for each page that is drawn. Forms send it back as `form`."""
    return {"form_token": uuid.uuid4().hex}


def confirm(request: DashboardRequest, change: Callable[[], str]) -> None:
    """Make a change, once for each form that a page drew, and say what it did: `change` gives the sentence.

    Raises Refused.
    """
    acting = request.acting
    if not request.POST.get(TOKEN):
        messages.success(request, change())
        return
    messages.success(request, once(acting.account, f"form {_sent(request)}", acting.now, change))


def _sent(request: HttpRequest) -> str:
    """A digest of the page's token, the form and what it holds: a page has several forms, each may be filled in anew.

    Hexadecimal, 64 digits.
    """
    held = sorted((name, values) for name, values in request.POST.lists() if name not in NOT_OF_THE_FORM)
    said = repr((request.POST[TOKEN], request.path, held))
    return hashlib.sha256(said.encode(errors="backslashreplace")).hexdigest()


def typed(request: HttpRequest, name: str, longest: int) -> str:
    """What was typed into a field, without what no text in PostgreSQL can hold; what is too long is cut."""
    return request.POST.get(name, "").replace("\0", "").strip()[:longest]


@contextmanager
def saying_why_not(request: HttpRequest) -> Iterator[None]:
    """A refusal within becomes a message."""
    try:
        yield
    except Refused as refused:
        messages.error(request, on_page(refused))
    except Problem as problem:
        messages.error(request, problem_on_page(problem))


def back_to(name: str) -> HttpResponseRedirect:
    answer: HttpResponseRedirect = redirect(name)
    return answer
