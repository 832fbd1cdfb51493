"""What django-allauth asks this site."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from billing_site.request.client_address import client_address


class Adapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """As SIGN_UP says."""
        return bool(settings.SIGN_UP)

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address by which the gateway counts, too: see CLIENT_ADDRESS_HEADER."""
        return client_address(request)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Staff who asked for no page go to the admin, customers to the dashboard."""
        user: Any = request.user
        return reverse("admin:index") if user.is_staff else super().get_login_redirect_url(request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Failed log-ins are counted by `ThrottledBackend`, which the admin and any other door share."""
