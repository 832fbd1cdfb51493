"""Sign-in as staff see it: a customer's addresses, and second factors that a lost device makes staff take away."""

from __future__ import annotations

from typing import Any

from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.http import HttpRequest

from billing.admin.base import ModelAdmin, ReadOnly
from billing.users import fields_of_names

admin.site.unregister([EmailAddress, Authenticator])


@admin.register(EmailAddress)
class Addresses(ModelAdmin[Any], EmailAddressAdmin):
    """django-allauth's page in our dress."""


@admin.register(Authenticator)
class SecondFactors(ReadOnly, ModelAdmin[Any]):
    """Looked at and deleted, never written: what is in them is the person's secret."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = fields_of_names("user__")
    fields = ("user", "type", "created_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModelAdmin.has_delete_permission(self, request, obj)
