"""The first page of the site, for whoever comes: it leads customers, staff and developers to their places."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.models import Seller
from billing_site.dashboard.plans.cards import cards_for_strangers


def home(request: HttpRequest) -> HttpResponse:
    """With the plans on sale; without them while the database does not answer."""
    context: dict[str, Any] = {"sign_up": settings.SIGN_UP}
    with suppress(Error):
        context |= {"cards": cards_for_strangers(), "is_taxed": Seller.objects.exists()}
    return render(request, "site/home.html", context | {"tax_included": settings.PRICES_INCLUDE_TAX})
