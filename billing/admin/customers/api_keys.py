"""Admin pages of API keys: the plain key stands on one answer only, that to the form which made it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from unfold.widgets import UnfoldAdminSelectWidget

from billing.admin.action_pages import ActionPages, confirmed_action, page_action
from billing.admin.base import FencedAdmin, ModelForm
from billing.admin.budgets import BudgetsOfKey
from billing.admin.lists.searching import SHOWN
from billing.admin.of_account import OfAccount
from billing.api.sentences import to_staff
from billing.entitlements import api_keys
from billing.models import ApiKey
from billing.models.entitlements.api_keys import prefix_in

OVERLAPS: Final = [(0, "No time: it ends at once"), (3_600, "One hour"), (86_400, "One day"), (604_800, "Seven days")]
"""Seconds, and what they are called."""


class RotationForm(forms.Form):
    overlap = forms.TypedChoiceField(
        choices=OVERLAPS,
        coerce=int,
        initial=86_400,
        label="The present key goes on for",
        widget=UnfoldAdminSelectWidget,
    )


class ApiKeyForm(ModelForm[ApiKey]):
    def clean_expiry_date(self) -> Any:
        self.now = timezone.now()
        expiry_date = self.cleaned_data["expiry_date"]
        if expiry_date and "expiry_date" in self.changed_data and expiry_date <= self.now:
            raise ValidationError("This time has passed. To end a key now, revoke it.")
        if expiry_date and expiry_date - self.now > api_keys.LONGEST_LIFE:
            raise ValidationError("Give a time within a thousand years, or none.")
        return expiry_date


@admin.register(ApiKey)
class ApiKeyAdmin(ActionPages[ApiKey], OfAccount[ApiKey], FencedAdmin[ApiKey]):
    """A key is revoked, never deleted: the audit log names it by its prefix."""

    form = ApiKeyForm
    list_display = ["name", "begins_with", "account", "scope_shown", "state", "created", "last_used", "expiry_date"]
    list_filter = ["revoked", "scope"]
    list_select_related = ["account", "use"]
    search_fields = ["prefix"]
    search_help_text = f"Prefix, whole key. {SHOWN}"
    by_account = "account"
    sortable_by = ["prefix", "created"]
    autocomplete_fields = ["account"]
    actions_detail = ["rotate", "revoke"]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["account", ("name", "scope"), "expiry_date"],
                "description": "The key is shown once, on the page that follows. Only its hash is kept. One of scope"
                " meter acts for every account: it belongs to your own servers only, never to a customer or his agent.",
            },
        )
    ]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("account", "begins_with", "state"),
                    ("name", "scope"),
                    ("expiry_date", "created", "last_used"),
                ]
            },
        )
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """A key that was pasted whole is found by its prefix, the only part of it that is kept."""
        if (pasted := api_keys.find_by_key(search_term)) is not None:
            return queryset.filter(pk=pasted.pk), False
        named = queryset.filter(prefix=prefix_in(search_term.strip()))
        if any(key.beginning == search_term.strip() for key in named):
            return named, False
        return super().get_search_results(request, queryset, search_term)

    def get_inlines(self, request: HttpRequest, obj: ApiKey | None) -> Any:
        return [BudgetsOfKey] if obj else []  # a new key is shown first

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        if obj is None:
            return []
        fixed = ["account", "begins_with", "state", "scope", "created", "last_used"]
        return fixed if obj.state(timezone.now()) == ApiKey.State.VALID else [*fixed, "name", "expiry_date"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="scope", ordering="scope")
    def scope_shown(self, row: ApiKey) -> str:
        return row.scope or "none"

    @admin.display(description="key", ordering="prefix")
    def begins_with(self, row: ApiKey) -> str:
        return f"{row.beginning}…"

    @admin.display(description="last used", ordering="use__used_at")
    def last_used(self, row: ApiKey) -> datetime | None:
        return row.last_used_at

    def state(self, row: ApiKey) -> str:
        return row.state(timezone.now()).value

    state.label = {"revoked": "danger", "expired": "warning", "valid": "success"}  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """By the domain's functions: writing the whole row would bring a key back that was revoked meanwhile."""
        if change:
            try:
                changes = {name: form.cleaned_data[name] for name in form.changed_data}
                api_keys.change(obj.account_id, obj.pk, timezone.now(), changes)
            except api_keys.KeyRefused as refused:
                messages.error(request, to_staff(refused))
            return
        new = api_keys.create(
            obj.account_id, obj.name, form.now, scope=obj.scope, expires_at=obj.expiry_date, by_staff=True
        )
        obj.pk, obj.prefix, obj.plain = new.key.pk, new.key.prefix, new.text  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The key itself, in the body of this answer: a redirect would need a place to keep it until the next."""
        return self._shown_once(request, obj, obj.plain, "API key created")  # type: ignore[attr-defined]

    def _shown_once(self, request: HttpRequest, key: ApiKey, plain: str, title: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "key": key,
            "plain": plain,
            "change_url": reverse("admin:billing_apikey_change", args=[quote(key.pk)]),
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
        if row.state(timezone.now()) == ApiKey.State.VALID:
            return {"rotate", "revoke"}
        return set() if row.revoked else {"revoke"}

    def has_make_keys_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever rotates a key is shown one that works, as who makes one is."""
        return self.has_add_permission(request)

    @page_action("Rotate the key", permission="make_keys", icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.existing(request, object_id)
        form = RotationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            overlap = timedelta(seconds=form.cleaned_data["overlap"])
            try:
                with transaction.atomic():
                    new = api_keys.rotate(key.account_id, key.pk, overlap, timezone.now(), giving=api_keys.EVERY_SCOPE)
                    self.log_change(request, key, f"Rotated: {new.key.beginning} takes its place.")
            except api_keys.KeyRefused as refused:
                return self.back(request, key, to_staff(refused), messages.ERROR)
            return self._shown_once(request, new.key, new.text, "API key rotated")
        about = "A new key with the same name, scope and span of life takes its place. It is shown once."
        return self.page(request, key, "form.html", "Rotate the key", form=form, about=about, button="Rotate the key")

    @confirmed_action(
        "Revoke the key",
        "Calls with this key are refused from the next request on. This cannot be undone.",
        permission="change",
        icon="block",
        danger=True,
    )
    def revoke(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        if key.revoked:
            return self.back(request, key, f"The key {key.prefix} was revoked before.", messages.WARNING)
        api_keys.revoke(key.account_id, key.pk)
        self.log_change(request, key, "Revoked.")
        self.message_user(request, f"The key {key.prefix} is revoked.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:billing_apikey_changelist"))
