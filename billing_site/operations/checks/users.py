"""Start-up checks of the host product's own user model: what the site needs of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, register
from django.db.models import IntegerField

from billing_site.operations.checks.start import ENFORCEMENT

NEEDED = ("email", "password", "is_active", "is_staff", "is_superuser", "groups", "date_joined", "last_login")


@register(ENFORCEMENT)
def check_user_model(**_: Any) -> Iterable[CheckMessage]:
    return faults_of(get_user_model())


def faults_of(model: Any) -> Iterable[CheckMessage]:
    about = model._meta
    if not isinstance(about.pk, IntegerField):
        yield Error(
            f"The primary key of {about.label} is no integer but a {type(about.pk).__name__}: accounts are numbers in"
            " the usage log, in Redis and in invoices.",
            hint="Let it be a BigAutoField, and give users a UUID in a field of its own.",
            id="billing_site.E023",
        )
    fields = {field.name for field in about.get_fields()}
    if lacking := [name for name in NEEDED if name not in fields]:
        hint = "Build it upon django.contrib.auth.models.AbstractUser; without a user name set `username = None`."
        yield Error(f"{about.label} has no {', '.join(lacking)}.", hint=hint, id="billing_site.E024")
    named = getattr(settings, "ACCOUNT_USER_MODEL_USERNAME_FIELD", "username")
    if named is not None and named not in fields:
        hint = 'Set ACCOUNT_USER_MODEL_USERNAME_FIELD = None and ACCOUNT_LOGIN_METHODS = {"email"}.'
        yield Error(f"Log-in pages ask for {named}, which {about.label} has not.", hint=hint, id="billing_site.E025")
