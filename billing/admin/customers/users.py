"""Admin pages of users: Django's own, in Unfold's look, with customers' states told to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from billing.admin.action_pages import confirmed_action, page_action
from billing.admin.base import ModelAdmin, once
from billing.admin.customers.groups import Choices
from billing.admin.lists.searching import SHOWN, suggested
from billing.admin.money.accounts import MoneyActions, balances_of
from billing.admin.subscriptions.starting import StartActions
from billing.api.sentences import to_staff
from billing.erasure import deletion, erase
from billing.fence.fenced import push_on_commit
from billing.models import (
    AccountNote,
    ApiKey,
    ApiKeyUse,
    BillingDetails,
    BillingPeriod,
    Erasure,
    Subscription,
    WindowOverage,
)
from billing.rules.refused import Refused
from billing.users import User, fields_of_names, name_field, right

if TYPE_CHECKING:
    # One base is enough for the type checker: Unfold changes nothing that it sees.
    class _UserAdmin(DjangoUserAdmin[User]): ...
else:

    class _UserAdmin(DjangoUserAdmin, ModelAdmin): ...


if admin.site.is_registered(User):
    admin.site.unregister(User)


FIELDS = frozenset(field.name for field in User._meta.get_fields())
DJANGOS_FIELDS = frozenset(
    ("username", "first_name", "last_name", "email", "date_joined", "last_login", "is_staff", "is_active")
)


def of_the_model(fieldsets: Any) -> Any:
    """Django's fieldsets with the model's own name, and without fields that it lacks; each field once."""
    shown: set[str] = set()
    kept = []
    for title, about in fieldsets:
        names = [name_field() if name == "username" else name for name in about["fields"]]
        here = [name for name in names if name not in shown and (name in FIELDS or name not in DJANGOS_FIELDS)]
        shown.update(here)
        kept += [(title, {**about, "fields": tuple(here)})] if here else []
    return kept


RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")
WITH_THEIR_USER = (AccountNote, ApiKey, ApiKeyUse, BillingDetails, BillingPeriod, Subscription, WindowOverage)


class UserAdmin(Choices, StartActions, MoneyActions, _UserAdmin):
    """Customers and staff. Only superusers give rights, or touch the accounts of those who have them.

    Registered by `usage.admin.customers`, which puts the customer's page before the form.
    """

    fieldsets = of_the_model(_UserAdmin.fieldsets)
    add_fieldsets = of_the_model(_UserAdmin.add_fieldsets)
    form = modelform_factory(User, UserChangeForm, fields="__all__")
    add_form = modelform_factory(User, UserCreationForm, fields=(name_field(),))
    change_password_form = AdminPasswordChangeForm
    list_display = [
        *fields_of_names(),
        *("plan", "is_active", "is_staff"),
        *(name for name in ("date_joined", "last_login") if name in FIELDS),
    ]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups"]
    list_filter_sheet = False
    filter_horizontal = ()
    search_fields = fields_of_names()
    search_help_text = SHOWN
    sortable_by = fields_of_names()[:1]
    ordering = ["-pk"]
    actions_detail = ["start", "receive_money", "pay_out", "activate", "deactivate", "erase"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        live = Subscription.objects.live().filter(account=OuterRef("pk"))
        return super().get_queryset(request).annotate(plan_name=Subquery(live.values("plan__name")[:1]))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        term = search_term.strip()
        return (queryset.filter(pk__in=suggested(term)) if term else queryset), False

    @admin.display(description="plan", empty_value="none yet")
    def plan(self, row: User) -> str | None:
        return getattr(row, "plan_name", None)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fixed = tuple(name for name in ("last_login", "date_joined") if name in FIELDS)
        if obj is not None and obj.pk == request.user.pk:  # nobody shuts himself out
            return (*fixed, "is_active", "is_staff", "is_superuser")
        return fixed if request.user.is_superuser else (*fixed, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody brings an account back that was erased: what is written to it would name a person again."""
        if not super().has_change_permission(request, obj) or not _may_touch(request, obj):
            return False
        return obj is None or not once(obj, "erased", Erasure.objects.filter(account=obj).exists)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Keys, and subscriptions that were never billed, end with their user, though nobody may delete one by itself.

        Whoever bought or called is protected, with the reason.
        """
        deleted, counts, lacking, _ = super().get_deleted_objects(objs, request)
        if protected := [sentence for user in objs if (sentence := _why_kept(user))]:
            return deleted, counts, set(), protected
        with_them = {kind._meta.verbose_name for kind in WITH_THEIR_USER}
        return deleted, counts, lacking - with_them, []

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        push_on_commit(obj.pk)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        deletion.delete_user(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        # One by one: a list may hold somebody with rights, and each account's keys end with it.
        for user in queryset:
            if self.has_delete_permission(request, user):
                self.delete_model(request, user)

    def has_erase_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.erase_account"))

    def has_change_user_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm(right("change")))

    def sensible_actions(self, row: User) -> set[str]:
        if row.is_staff or row.is_superuser:
            return set()
        money = {"receive_money"} | ({"pay_out"} if any(each > 0 for each in balances_of(row).values()) else set())
        if row.is_active:
            return {"start", "deactivate", "erase"} | money
        return money | ({"erase"} if Erasure.objects.filter(account=row).exists() else {"activate", "erase"})

    @confirmed_action(
        "Deactivate",
        "Calls and log-ins are refused from the next request on. The subscription ends with its period, and is not "
        "credited. It can be undone until then.",
        permission="change_user",
        icon="block",
        danger=True,
    )
    def deactivate(self, request: HttpRequest, user: User) -> HttpResponse:
        return self._set_active(request, user, active=False)

    @confirmed_action(
        "Activate",
        "Keys and log-in work again from the next request on. A subscription that has ended meanwhile does not return.",
        permission="change_user",
        icon="check_circle",
    )
    def activate(self, request: HttpRequest, user: User) -> HttpResponse:
        return self._set_active(request, user, active=True)

    def _set_active(self, request: HttpRequest, user: User, *, active: bool) -> HttpResponse:
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if not active and user.pk == request.user.pk:
            shut_out = "You would shut yourself out. Another superuser can deactivate you."
            return self.back(request, user, shut_out, messages.ERROR)
        done = "Activated." if active else "Deactivated."
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(is_active=active)
            self.log_change(request, user, done)
            push_on_commit(user.pk)
        return self.back(request, user, done)

    @page_action("Erase personal data", permission="erase", icon="person_off", danger=True)
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user, now = self.existing(request, object_id), timezone.now()
        if request.method == "POST":
            agreed = request.POST.get("open_invoices") == "on"
            try:
                done = erase.erase(user.pk, now, request.user.pk, with_open_invoices=agreed)
            except Refused as refused:
                return self.back(request, user, to_staff(refused), messages.ERROR)
            user.refresh_from_db()
            self.log_change(request, user, f"Personal data erased ({done}).")
            return self.back(request, user, "The personal data are erased. The ledger is kept.")
        met = erase.holdings(user.pk)
        goes = [[kind, f"{count:,}"] for kind, count in met.goes.items()]
        about = {"met": met, "goes": {"headers": ["What", "Rows"], "rows": goes}}
        return self.page(request, user, "erase.html", f"Erase the personal data of {user}?", **about)


def _why_kept(user: User) -> str:
    try:
        deletion.check_deletable(user)
    except Refused as refused:
        return to_staff(refused)
    return ""


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or request.user.is_superuser or not (user.is_staff or user.is_superuser)
