"""What django-allauth asks this site."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as allauth_context
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.models import Preferences
from billing.users import User
from billing_site.library_settings import LOG_IN
from billing_site.request.client_address import client_address

logger = logging.getLogger(__name__)


class Adapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """As SIGN_UP says."""
        return bool(settings.SIGN_UP)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Who signs up goes on in the language of that page; mails know no browser."""
        kept: User = super().save_user(request, user, form, commit)
        if commit:
            Preferences.objects.update_or_create(user=kept, defaults={"language": get_language()})
        return kept

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address by which the gateway counts, too: see CLIENT_ADDRESS_HEADER."""
        return client_address(request)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Staff who asked for no page go to the admin, customers to the dashboard."""
        user: Any = request.user
        return reverse("admin:index") if user.is_staff else super().get_login_redirect_url(request)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Whoever signs up or asks for a link goes on without the mail where the provider is down, and is told so.

        The mail names the site, where the library would name its host.
        """
        site = {"name": LOG_IN["MFA_TOTP_ISSUER"], "domain": allauth_context.request.get_host()}
        try:
            super().send_mail(template_prefix, email, {"current_site": site} | context)
        except (SMTPException, OSError) as error:
            logger.error("a mail could not be sent (%s): %s", template_prefix, type(error).__name__)
            sentence = _("The e-mail could not be sent at the moment. Please ask for it again in a few minutes.")
            messages.error(allauth_context.request, sentence)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Failed log-ins are counted by `ThrottledBackend`, which the admin and any other door share."""
