"""From a form of ours to a page of a provider's.

A page of ours by which the browser goes on: our policy lets a form lead to this site only (`content_security`), and
browsers hold a redirect after a form to it. It works without scripts, and has a link for who is not led on.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render


def leave_for(request: HttpRequest, url: str) -> HttpResponseBase:
    """The answer to a form that sends the customer to a provider's page."""
    return render(request, "dashboard/leaving.html", {"url": url})
