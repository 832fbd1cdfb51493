"""The admin page on which staff give a customer the quota anew."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from billing.admin.base import ModelForm
from billing.admin.lists.searching import SHOWN
from billing.admin.of_account import OfAccount
from billing.users import User, fields_of_names
from usage.drain import drain
from usage.metering.reset import NothingUsed, reset_caught_up
from usage.models import UsageReset


class UsageResetForm(ModelForm[UsageReset]):
    def clean_account(self) -> User:
        account: User = self.cleaned_data["account"]
        if not account.is_active:
            raise ValidationError("This user is deactivated and makes no calls.")
        return account


@admin.register(UsageReset)
class UsageResetAdmin(OfAccount[UsageReset]):
    """To add one is to do it; it stays as it is."""

    form = UsageResetForm
    list_display = ["account", "tokens", "reason", "reset_by", "reset_at", "window_starts_at"]
    list_select_related = ["account"]
    search_fields = [*fields_of_names("account__")]
    search_help_text = SHOWN
    by_account = "account"
    autocomplete_fields = ["account"]
    readonly_fields = ["tokens", "reset_by", "reset_at", "window_starts_at"]

    def get_fields(self, request: HttpRequest, obj: UsageReset | None = None) -> Any:
        return ["account", "reason", *(self.readonly_fields if obj else [])]

    def has_change_permission(self, request: HttpRequest, obj: UsageReset | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageReset | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: UsageReset, form: Any, change: bool) -> None:
        done = reset_caught_up(obj.account_id, timezone.now(), reason=obj.reason, by=str(request.user))
        obj.pk, obj.tokens = done.pk, done.tokens
        obj._state.adding = False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        account = request.POST.get("account", "")
        try:
            if account.isdecimal():  # before the transaction that Django's view opens
                drain.catch_up(int(account))
            return super().add_view(request, form_url, extra_context)
        except NothingUsed:
            reason = "This customer has used nothing of the present window: there is nothing to give back."
        except drain.Behind as error:
            reason = f"The usage log is behind: {error}. Try again."
        self.message_user(request, reason, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
