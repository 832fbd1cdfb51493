"""Forms of the dashboard that change something: sent once, whatever the browser does."""

from __future__ import annotations

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
from billing_site.dashboard.sentences import on_page

TOKEN = "form"


def form_token(request: HttpRequest) -> dict[str, str]:
    """Context processor: `form_token`, another one for each page that is drawn. Forms send it back as `form`."""
    return {"form_token": uuid.uuid4().hex}


def confirm(request: DashboardRequest, change: Callable[[], str]) -> None:
    """Make a change, once for each page that asked for it, and say what it did: `change` gives the sentence.

    Raises Refused.
    """
    token = request.POST.get(TOKEN, "")[:64]
    acting = request.acting
    if not token.isalnum():
        messages.success(request, change())
        return
    messages.success(request, once(acting.account, f"form {token}", acting.now, change))


@contextmanager
def saying_why_not(request: HttpRequest) -> Iterator[None]:
    """A refusal within becomes a message."""
    try:
        yield
    except Refused as refused:
        messages.error(request, on_page(refused))
    except Problem as problem:
        messages.error(request, str(problem.detail))


def back_to(name: str) -> HttpResponseRedirect:
    answer: HttpResponseRedirect = redirect(name)
    return answer
