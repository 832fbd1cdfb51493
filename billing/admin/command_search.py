"""Ctrl-K: customers, subscriptions, keys and documents, each asked of an index, as far as the user may see them."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from billing.admin.lists.searching import suggested
from billing.entitlements.api_keys import find_by_key
from billing.models import ApiKey, CreditNote, Invoice, Subscription
from billing.models.entitlements.api_keys import prefix_in
from billing.users import User

CUSTOMERS_SHOWN = 10
LONGEST = 300


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """The best first. A whole key is found by its prefix, the only part of it that is kept, and by nothing else."""
    term = term.strip()
    if not term or len(term) > LONGEST or "\0" in term:
        return []
    if may_see(request, ApiKey) and (pasted := find_by_key(term)):
        return list(_keys(request, pasted.prefix))
    return [*_documents(request, term.upper()), *_keys(request, term), *_customers(request, term)]


def _documents(request: HttpRequest, number: str) -> Iterator[SearchResult]:
    for model, icon in ((Invoice, "receipt"), (CreditNote, "undo")):
        if may_see(request, model):
            for row in model.objects.filter(number=number).select_related("account"):
                yield _result(f"{row}", f"{model._meta.verbose_name} of {row.account}", row, icon)


def _keys(request: HttpRequest, beginning: str) -> Iterator[SearchResult]:
    """By its prefix, or by that and the letters which the site writes before it."""
    if may_see(request, ApiKey):
        for key in ApiKey.objects.filter(prefix=prefix_in(beginning)).select_related("account"):
            if beginning not in (key.prefix, key.beginning):
                continue
            state = ", revoked" if key.revoked else ""
            yield _result(f"{key.beginning} {key.name}", f"API key of {key.account}{state}", key, "key")


def _customers(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    sees_users, sees_subscriptions = may_see(request, User), may_see(request, Subscription)
    if not (sees_users or sees_subscriptions):
        return
    accounts = suggested(term)[:CUSTOMERS_SHOWN]
    if sees_users:
        users = User.objects.in_bulk(accounts)
        for account in accounts:
            yield _result(str(users[account]), users[account].email or "user", users[account], "person")
    if sees_subscriptions:
        for row in Subscription.objects.live().filter(account__in=accounts).select_related("account", "plan"):
            yield _result(f"{row.account}: {row.plan}", "subscription", row, "autorenew")


def may_see(request: HttpRequest, model: type[Model]) -> bool:
    return bool(admin.site.get_model_admin(model).has_view_permission(request))


def _result(title: str, description: str, row: Model, icon: str) -> SearchResult:
    link = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return SearchResult(title=title, description=description, link=link, icon=icon)
