"""The page for whoever calls the API for the first time: from a key to a client that waits when it is told to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from billing_site.dashboard.keys.first_call import path_to_call
from billing_site.openapi.samples import Call, samples_of

RETRIES: Final = (("Python", "retry.py"), ("JavaScript", "retry.mjs"))
"""Files beside the page's template, so that they are code to whoever changes them."""


def start(request: HttpRequest) -> HttpResponse:
    """Says the site's own address; its calls are such as every plan may make."""
    path = reverse("usage-current").rstrip("/")
    with suppress(Error):
        path = path_to_call()
    folder = Path(settings.BASE_DIR) / "templates" / "api" / "start"
    shown = {
        "base": request.build_absolute_uri("/").rstrip("/"),
        "is_metered": path != reverse("usage-current").rstrip("/"),
        "path": path,
        "samples": samples_of(Call("GET", path)),
        "retries": [{"label": label, "source": (folder / file).read_text().strip()} for label, file in RETRIES],
        "sign_up": settings.SIGN_UP,
    }
    return render(request, "api/start.html", shown)
