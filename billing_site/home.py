"""The first page of the site, for whoever comes: it leads customers, staff and developers to their places."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "site/home.html", {"sign_up": settings.SIGN_UP})
