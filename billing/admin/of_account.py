"""Rows that staff add for an account: for none that was erased, and mostly from the customer's page."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import ForeignKey
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from billing.admin.base import M, ModelAdmin
from billing.models import Erasure
from billing.users import User, page

ERASED = "The personal data of this account were erased. Nothing is added to it any more."


def refuse_erased(account: User) -> None:
    """What is written to it would name a person again. Raises ValidationError."""
    if Erasure.objects.filter(account=account).exists():
        raise ValidationError(ERASED)


class OfAccount(ModelAdmin[M]):
    """For models whose field `account` names the customer."""

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and db_field.name == "account":
            field.validators = [*field.validators, refuse_erased]
        return field

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """The customer's page opens the form with its account in the address."""
        if request.GET.get("account") == str(obj.account_id):
            return HttpResponseRedirect(reverse(page("change"), args=[obj.account_id]))
        return super().response_post_save_add(request, obj)
