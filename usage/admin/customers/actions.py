"""The buttons of the customer's page: what makes sense for the account as it is, and what the user may do."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from unfold.enums import ActionVariant

from billing.admin.action_pages import ActionPages
from billing.models import LimitOverride, Subscription, TokenTopUp
from billing.users import User, page
from usage.models import UsageReset


class Button(NamedTuple):
    label: str
    url: str
    icon: str
    danger: bool = False


def groups(
    request: HttpRequest, users: ActionPages[User], user: User, live: Subscription | None, *, pays: bool
) -> list[tuple[str, list[Button]]]:
    """Buttons under the heading of what they act on; headings without any are left out."""
    subscriptions: Any = admin.site.get_model_admin(Subscription)
    of_user = _of_row(request, users, user)
    starting = reverse(page("start"), args=[user.pk])
    of_money = [reverse(page(name), args=[user.pk]) for name in ("receive_money", "pay_out")]
    start = [] if pays else [button for button in of_user if button.url == starting]
    money = [button for button in of_user if button.url in of_money]
    about_user = [button for button in of_user if button.url not in (starting, *of_money)]
    found = [
        ("Subscription", [*start, *(_of_row(request, subscriptions, live) if live else [])]),
        ("Allowance", _allowance(request, user) if user.is_active else []),
        ("Money", money),
        ("Account", [*_edit(request, users, user), *about_user]),
    ]
    return [(title, buttons) for title, buttons in found if buttons]


def _of_row(request: HttpRequest, pages: ActionPages[Any], row: Any) -> list[Button]:
    """Of those that stand on the row's own page."""
    sensible, opts = pages.sensible_actions(row), pages.opts
    names: Any = pages.actions_detail  # type: ignore[attr-defined]
    buttons = []
    for name in names:
        action: Any = getattr(pages, name)
        checks = (getattr(pages, f"has_{permission}_permission") for permission in action.allowed_permissions)
        if name in sensible and all(check(request) for check in checks):
            url = reverse(f"admin:{opts.app_label}_{opts.model_name}_{name}", args=[row.pk])
            is_danger = action.variant == ActionVariant.DANGER
            buttons.append(Button(action.short_description, url, action.icon, is_danger))
    return buttons


ALLOWANCES = (
    ("Override a limit", LimitOverride, "tune"),
    ("Add tokens", TokenTopUp, "add_circle"),
    ("Reset usage", UsageReset, "restart_alt"),
)


def _allowance(request: HttpRequest, user: User) -> list[Button]:
    return [
        Button(label, add_url(model, user), icon)
        for label, model, icon in ALLOWANCES
        if admin.site.get_model_admin(model).has_add_permission(request)
    ]


def add_url(model: Any, user: User) -> str:
    """The form that adds such a row, for this account."""
    return f"{reverse(f'admin:{model._meta.app_label}_{model._meta.model_name}_add')}?account={user.pk}"


def _edit(request: HttpRequest, users: ActionPages[User], user: User) -> list[Button]:
    if not users.has_change_permission(request, user):
        return []
    return [Button("Edit the user", reverse(page("edit"), args=[user.pk]), "edit")]
