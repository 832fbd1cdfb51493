"""What the site needs of the host product's own user model is named at the start."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AbstractUser, User
from django.db import models
from django.test.utils import isolate_apps

from billing_site.operations.checks.users import faults_of


def test_djangos_own_is_good() -> None:
    assert list(faults_of(User)) == []


@isolate_apps("django.contrib.auth", "django.contrib.contenttypes")
def test_a_key_that_is_no_integer_is_named() -> None:
    class Member(AbstractUser):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        groups = models.ManyToManyField("auth.Group", related_name="+")
        user_permissions = models.ManyToManyField("auth.Permission", related_name="+")

        class Meta:
            app_label = "auth"

    (fault,) = faults_of(Member)
    assert fault.id == "billing_site.E023"
    assert fault.msg.startswith("The primary key of auth.Member is no integer but a UUIDField")


@isolate_apps("django.contrib.auth")
def test_fields_that_it_lacks_are_named(settings: Any) -> None:
    class Bare(AbstractBaseUser):
        email = models.EmailField(unique=True)
        USERNAME_FIELD = "email"

        class Meta:
            app_label = "auth"

    lacking, name = faults_of(Bare)
    assert (lacking.id, name.id) == ("billing_site.E024", "billing_site.E025")
    assert lacking.msg == "auth.Bare has no is_active, is_staff, is_superuser, groups, date_joined."
    settings.ACCOUNT_USER_MODEL_USERNAME_FIELD = None
    assert [fault.id for fault in faults_of(Bare)] == ["billing_site.E024"]
