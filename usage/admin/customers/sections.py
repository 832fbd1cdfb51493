"""A table of the customer's page, with where the rest of it is and where a row is added."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from billing.users import User
from usage.admin.customers.actions import add_url

LINK = '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>'


@dataclass(slots=True)
class Section:
    title: str
    headers: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    empty: str = ""
    """Said where there are no rows."""
    all_url: str = ""
    add: tuple[str, str] | None = None
    """Label and address of the form that adds a row."""
    note: str = ""
    is_wide: bool = False
    """It has the width of the page, or else half of it where that is wide."""

    @property
    def table(self) -> dict[str, Any]:
        return {"headers": self.headers, "rows": self.rows}


def may_see(request: HttpRequest, model: type[Model]) -> bool:
    """By the model's own pages in the admin, where it has any."""
    if admin.site.is_registered(model):
        return admin.site.get_model_admin(model).has_view_permission(request)
    return request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


def may_add(request: HttpRequest, model: type[Model]) -> bool:
    return admin.site.get_model_admin(model).has_add_permission(request)


def list_url(model: type[Model], user: User, by: str = "account__id__exact") -> str:
    """The admin's list of the model, of this account."""
    value = user.get_username() if by == "q" else user.pk
    return f"{reverse(f'admin:{model._meta.app_label}_{model._meta.model_name}_changelist')}?{by}={value}"


def add_link(request: HttpRequest, model: type[Model], user: User, label: str) -> tuple[str, str] | None:
    """None where the person may not, and for a deactivated account: so are those that were erased."""
    return (label, add_url(model, user)) if user.is_active and may_add(request, model) else None


def link(row: Model, text: object = None, page: str = "change") -> str:
    """To a row's page, or to one of its actions."""
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])
    return format_html(LINK, url, row if text is None else text)


def instant(at: datetime | None, otherwise: str = "") -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else otherwise
