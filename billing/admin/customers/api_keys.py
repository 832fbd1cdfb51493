"""Admin pages of API keys: the plain key stands on one answer only, that to the form which made it."""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import FencedAdmin, ModelForm
from billing.models import ApiKey

WHOLE_KEY: Final = re.compile(r"(?:bearer\s+)?(?P<prefix>[a-z0-9]{8})\.[\w.-]{20,}", re.IGNORECASE)
"""As a customer sends it, with its scheme or without."""


class ApiKeyForm(ModelForm[ApiKey]):
    def clean_expiry_date(self) -> Any:
        expiry_date = self.cleaned_data["expiry_date"]
        if expiry_date and "expiry_date" in self.changed_data and expiry_date <= timezone.now():
            raise ValidationError("This time has passed. To end a key now, revoke it.")
        return expiry_date


@admin.register(ApiKey)
class ApiKeyAdmin(ActionPages[ApiKey], FencedAdmin[ApiKey]):
    """A key is revoked, never deleted: the audit log names it by its prefix."""

    form = ApiKeyForm
    list_display = ["name", "prefix", "account", "scope_shown", "state", "created", "expiry_date"]
    list_filter = ["revoked", "scope"]
    list_select_related = ["account"]
    search_fields = ["name", "prefix", "account__username", "account__email"]
    search_help_text = "Name, prefix, whole key, username or e-mail"
    autocomplete_fields = ["account"]
    actions_detail = ["revoke"]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["account", ("name", "scope"), "expiry_date"],
                "description": "The key is shown once, on the page that follows. Only its hash is kept.",
            },
        )
    ]
    fieldsets = [(None, {"fields": [("account", "prefix", "state"), ("name", "scope"), ("expiry_date", "created")]})]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """A key that was pasted whole is found by its prefix, the only part of it that is kept."""
        if pasted := WHOLE_KEY.fullmatch(search_term.strip()):
            return queryset.filter(prefix=pasted["prefix"]), False
        return super().get_search_results(request, queryset, search_term)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        if obj is None:
            return []
        fixed = ["account", "prefix", "state", "scope", "created"]
        return [*fixed, "name", "expiry_date"] if obj.revoked else fixed

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="scope", ordering="scope")
    def scope_shown(self, row: ApiKey) -> str:
        return row.scope or "none"

    def state(self, row: ApiKey) -> str:
        if row.revoked:
            return "revoked"
        return "expired" if row.has_expired else "valid"

    state.label = {"revoked": "danger", "expired": "warning", "valid": "success"}  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        issued, plain = ApiKey.issue(account=obj.account, name=obj.name, scope=obj.scope, expiry_date=obj.expiry_date)
        obj.pk, obj.prefix, obj.plain = issued.pk, issued.prefix, plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The key itself, in the body of this answer: a redirect would need a place to keep it until the next."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "key": obj,
            "plain": obj.plain,  # type: ignore[attr-defined]
            "change_url": reverse("admin:billing_apikey_change", args=[quote(obj.pk)]),
            "list_url": reverse("admin:billing_apikey_changelist"),
        }
        response = TemplateResponse(request, "admin/api_key_created.html", context)
        add_never_cache_headers(response)
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # After "save and ..." there would be no page to show the key on.
        context |= {"show_save_and_add_another": False, "show_save_and_continue": bool(kwargs.get("change"))}
        return super().render_change_form(request, context, *args, **kwargs)

    def sensible_actions(self, row: ApiKey) -> set[str]:
        return set() if row.revoked else {"revoke"}

    @confirmed_action(
        "Revoke the key",
        "Calls with this key are refused from the next request on. This cannot be undone.",
        permission="change",
        icon="block",
        danger=True,
    )
    def revoke(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        if not key.revoke():
            return self.back(request, key, f"The key {key.prefix} was revoked before.", messages.WARNING)
        self.log_change(request, key, "Revoked.")
        self.message_user(request, f"The key {key.prefix} is revoked.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:billing_apikey_changelist"))
