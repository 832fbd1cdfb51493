"""Admin pages of webhooks' endpoints: the operator's are made here; customers' are looked at, and put right with them.

A secret stands on one answer only, that to the form which made it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import FencedAdmin
from billing.admin.lists.searching import SHOWN
from billing.admin.webhooks.forms import EndpointForm, judge
from billing.api.sentences import to_staff
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.rules.refused import Refused
from billing.users import fields_of_names
from billing.webhooks import endpoints


class WhoseFilter(admin.SimpleListFilter):
    title = "whose"
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("operator", "The operator's"), ("customers", "Customers'")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(account__isnull=self.value() == "operator") if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("stopped", "Stopped by its answers"), ("failing", "Failing"), ("off", "Switched off")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        enabled, disabled = WebhookEndpoint.State.ENABLED, WebhookEndpoint.State.DISABLED
        owner = WebhookEndpoint.Reason.OWNER
        chosen = {
            "stopped": lambda: queryset.filter(pk__in=WebhookEndpoint.objects.stopped().values("pk")),
            "failing": lambda: queryset.filter(state=enabled, failing_since__isnull=False),
            "off": lambda: queryset.filter(state=disabled, disabled_reason=owner),
        }.get(self.value() or "")
        return chosen() if chosen else queryset


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ActionPages[WebhookEndpoint], FencedAdmin[WebhookEndpoint]):
    """The operator's are told of all accounts; a customer's of its own."""

    form = EndpointForm
    list_display = ["url", "whose", "shown_state", "failing_since", "created_at"]
    list_filter = [StateFilter, WhoseFilter]
    list_select_related = ["account"]
    search_fields = ["url", *fields_of_names("account__")]
    search_help_text = f"Address. {SHOWN}"
    by_account = "account"
    ordering = ["-pk"]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["url", "types"],
                "description": "It is told of all accounts. Its secret is shown once, on the page that follows.",
            },
        )
    ]
    fieldsets = [
        ("Tries", {"fields": [("failing_since", "disabled_at", "previous_until"), "not_taken"]}),
    ]
    actions_detail = ["ping", "send_all_again", "rotate", "enable", "disable"]

    def get_fieldsets(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        types = "types" if self.has_change_permission(request, obj) else "types_shown"
        about = {"fields": [("whose", "shown_state", "created_at"), "url", types]}
        return [(None, about), *self.fieldsets]

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> list[str]:
        shown = ["whose", "shown_state", "created_at", "failing_since", "disabled_at", "previous_until", "not_taken"]
        return [*shown, "types_shown"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.has_perm("billing.add_webhookendpoint"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What a customer's is told is the customer's to say."""
        return (obj is None or obj.account_id is None) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of a customer's the customer decides, or an erasure."""
        return (obj is None or obj.account_id is None) and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its deliveries, which nobody deletes by themselves, go with it."""
        named, counts, _, protected = super().get_deleted_objects(objs, request)
        return named, counts, set(), protected

    def has_operating_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_webhookendpoint"))

    def has_sending_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_webhookdelivery"))

    def sensible_actions(self, row: WebhookEndpoint) -> set[str]:
        if not row.is_enabled:
            return {"enable"}
        own = {"rotate"} if row.account_id is None else set()
        return {"ping", "send_all_again", "disable", *own}

    @admin.display(description="whose", ordering="account")
    def whose(self, row: WebhookEndpoint) -> str:
        return str(row.account) if row.account else "the operator's"

    @admin.display(description="state")
    def shown_state(self, row: WebhookEndpoint) -> str:
        if not row.is_enabled:
            return f"disabled: {row.get_disabled_reason_display()}"
        return "failing" if row.failing_since else "enabled"

    @admin.display(description="types")
    def types_shown(self, row: WebhookEndpoint) -> str:
        return ", ".join(row.types) or "all"

    @admin.display(description="not taken")
    def not_taken(self, row: WebhookEndpoint) -> str:
        count = WebhookDelivery.objects.dead().filter(endpoint=row.pk).count()
        return f"{count:,} deliver{pluralize(count, 'y,ies')}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Django opens a transaction in it, so the name is looked up before."""
        may = self.has_change_permission(request) if object_id else self.has_add_permission(request)
        if request.method == "POST" and may:
            posted = request.POST.get("url", "").strip()  # as the field cleans it
            request.judged = judge(posted)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: WebhookEndpoint | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)  # a class of this request's own
        form.judged = getattr(request, "judged", None)
        return form

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        given = {name: form.cleaned_data[name] for name in ("url", "types") if name in form.cleaned_data}
        if change:
            endpoints.change(obj.account_id, obj.pk, timezone.now(), given)
            return
        new = endpoints.create(None, given["url"], given["types"], timezone.now(), by_staff=request.user.pk)
        obj.pk, obj.url, obj.made = new.endpoint.pk, new.endpoint.url, new  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._shown_once(request, obj.made, "Webhook made")  # type: ignore[attr-defined]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # After "save and ..." there would be no page to show the secret on.
        context |= {"show_save_and_add_another": False, "show_save_and_continue": bool(kwargs.get("change"))}
        return super().render_change_form(request, context, *args, **kwargs)

    def _shown_once(self, request: HttpRequest, new: endpoints.NewEndpoint, title: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "endpoint": new.endpoint,
            "plain": new.secret,
            "change_url": reverse("admin:billing_webhookendpoint_change", args=[new.endpoint.pk]),
            "list_url": reverse("admin:billing_webhookendpoint_changelist"),
        }
        response = TemplateResponse(request, "admin/webhook_secret.html", context)
        add_never_cache_headers(response)
        return response

    def _done(self, request: HttpRequest, row: WebhookEndpoint, change: Any, log: str, said: str) -> HttpResponse:
        try:
            with transaction.atomic():
                change()
                self.log_change(request, row, log)
        except Refused as refused:
            return self.back(request, row, to_staff(refused), messages.ERROR)
        return self.back(request, row, said)

    @confirmed_action(
        "Rotate the secret",
        "Another secret is shown once. For 24 hours messages are signed with both.",
        permission="operating",
        icon="autorenew",
    )
    def rotate(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        if row.account_id is not None:
            return self.back(request, row, "A customer's secret is shown to the customer alone.", messages.ERROR)
        with transaction.atomic():
            new = endpoints.rotate(None, row.pk, timezone.now())
            self.log_change(request, row, "Rotated the secret.")
        return self._shown_once(request, new, "Secret rotated")

    @confirmed_action("Send a ping", "A message of the type ping is sent.", permission="sending", icon="network_ping")
    def ping(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        def change() -> None:
            endpoints.ping(row.account_id, row.pk, timezone.now())

        return self._done(request, row, change, "Sent a ping.", "A ping is being sent; see its deliveries.")

    @confirmed_action(
        "Send all that is dead again",
        "All messages that were not taken are sent again, with the same ids.",
        permission="sending",
        icon="replay",
    )
    def send_all_again(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        def change() -> None:
            endpoints.send_all_again(row.account_id, row.pk, timezone.now())

        return self._done(request, row, change, "Sent all again.", "What was dead is being sent again.")

    @confirmed_action("Enable", "Messages are sent to it from now on.", permission="operating", icon="play_arrow")
    def enable(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        def change() -> None:
            endpoints.change(row.account_id, row.pk, timezone.now(), {"enabled": True})

        return self._done(request, row, change, "Enabled.", "It is enabled.")

    @confirmed_action(
        "Disable",
        "Nothing more is sent to it, and what waits is dead. What happens meanwhile is not sent later.",
        permission="operating",
        icon="pause",
        danger=True,
    )
    def disable(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        def change() -> None:
            endpoints.change(row.account_id, row.pk, timezone.now(), {"enabled": False})

        return self._done(request, row, change, "Disabled.", "It is disabled.")
