"""The site's settings, its catalogue, its staff, and how mails go out and money comes in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import urllib3
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.mail import get_connection
from django.http.request import validate_host
from django.utils import timezone

from billing.models import Feature, Plan, Route
from billing_site.operations import chains
from billing_site.operations import payments as cards
from billing_site.operations.checks.cards import check_real_money
from billing_site.operations.checks.deployment import check_mails, check_what_is_open
from billing_site.operations.checks.start import ENFORCEMENT
from billing_site.operations.doctor.finding import Finding, fail, of_checks, ok, warn

SECONDS: Final = 4.0
SMTP: Final = "django.core.mail.backends.smtp.EmailBackend"


def settings_make_sense() -> Iterable[Finding]:
    return of_checks("settings", run_checks(tags=[ENFORCEMENT])) or [ok("settings", "make sense together")]


def site() -> Iterable[Finding]:
    """Whether SITE_URL leads here, asked as a client would."""
    url = settings.SITE_URL
    if not validate_host(urlsplit(url).hostname or "", settings.ALLOWED_HOSTS):
        do = "Let ALLOWED_HOSTS have SITE_URL's name."
        return [fail("site", f"{url} is refused: its name is not in ALLOWED_HOSTS", do)]
    do = "Start the web server and the proxy, or set SITE_URL to where they are reached."
    timeout = urllib3.Timeout(total=SECONDS)
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout) as asked:
            answer = asked.request("GET", f"{url}/health", redirect=False)
    except urllib3.exceptions.HTTPError as error:
        return [warn("site", f"{url}/health does not answer: {' '.join(str(error).split())}", do)]
    if answer.status != 200:
        return [warn("site", f"{url}/health answers {answer.status}", do)]
    return [ok("site", f"{url}/health answers 200")]


def https() -> Iterable[Finding]:
    found = []
    secure = settings.SITE_URL.startswith("https://")
    if settings.DEBUG:
        found.append(fail("https", "DEBUG is on: errors are shown with their values", "Unset DEBUG."))
    if secure and not settings.HTTPS:
        found.append(warn("https", "cookies go over plain HTTP, too, and there is no HSTS", "Set HTTPS=1."))
    elif not secure:
        do = "Set SITE_URL to https://…, and HTTPS=1."
        found.append(warn("https", f"SITE_URL is {settings.SITE_URL}: links in mails are not secure", do))
    elif not settings.BEHIND_PROXY:
        do = "Set BEHIND_PROXY=1 where a proxy ends TLS; else every request is redirected for ever."
        found.append(warn("https", "HTTPS is on, and no proxy is said to stand before the site", do))
    return found or [ok("https", "secure cookies, redirects, HSTS")]


def what_is_open() -> Iterable[Finding]:
    return of_checks("open", check_what_is_open()) or [ok("open", "metrics ask for a token, no sandbox, a proxy")]


def catalogue() -> Iterable[Finding]:
    default = Plan.objects.default()
    if default is None:
        return [fail("catalogue", "there is no default plan: nobody can sign up", "Run `manage.py seed_catalogue`.")]
    routes = Route.objects.count()
    if not routes:
        do = "Add routes in the admin, or run `manage.py seed_catalogue`."
        return [warn("catalogue", "no path is routed to a feature: nothing is charged", do)]
    sold = Plan.objects.on_sale().count()
    said = f"{sold} plans on sale, {Feature.objects.count()} features, {routes} routes; {default.name} is the default"
    return [ok("catalogue", said)]


def staff() -> Iterable[Finding]:
    active = get_user_model()._default_manager.filter(is_active=True, is_staff=True)
    superusers = active.filter(is_superuser=True).count()
    if not superusers:
        return [warn("staff", "there is no superuser: nobody can give roles", "Run `manage.py createsuperuser`.")]
    return [ok("staff", f"{active.count()} may log in, {superusers} of them are superusers")]


def mail() -> Iterable[Finding]:
    """The provider is asked who it is and takes the password; nothing is sent."""
    if found := of_checks("mail", check_mails()):
        return found
    if settings.EMAIL_BACKEND != SMTP:
        return [ok("mail", f"by {settings.EMAIL_BACKEND}")]
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    provider = get_connection(timeout=SECONDS)
    try:
        provider.open()
    except OSError as error:  # smtplib's errors are
        said = f"{where} refuses us: {type(error).__name__}"
        return [fail("mail", said, "Check EMAIL_URL: host, port, user and password.")]
    finally:
        provider.close()
    return [ok("mail", f"{where} takes mails from {settings.DEFAULT_FROM_EMAIL}")]


def payments() -> Iterable[Finding]:
    by = ["cards"] * bool(settings.STRIPE_SECRET_KEY) + ["stablecoins"] * bool(settings.CHAIN_XPUBS)
    found = of_checks("payments", check_real_money())
    for part, state in (cards.health() | chains.parts(timezone.now())).items():
        if state != "ok":
            found.append(warn("payments", f"{part}: {state}", "See docs/payments.md, and the admin's home."))
    return found or [ok("payments", f"by {' and '.join([*by, 'bank transfer'])}")]
