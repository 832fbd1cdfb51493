"""Buttons on a row's page that make sense for its state, and the pages of their own that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from billing.admin.base import M, ModelAdmin, leave_dialog

F = TypeVar("F", bound=Callable[..., HttpResponse])


def page_action(label: str, *, permission: str, icon: str) -> Callable[[F], F]:
    """A button that opens a page, which the decorated method answers: (request, object_id), GET and POST.

    `permission` names a has_<permission>_permission method of ActionPages.
    """
    return cast(Callable[[F], F], action(description=label, icon=icon, permissions=[permission]))


class ActionPages(ModelAdmin[M]):
    # Methods instead of the permissions' names: those Unfold looks up in the database whenever Django checks itself.
    def has_change_invoices_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_invoice"))

    def has_change_subscriptions_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_subscription"))

    def sensible_actions(self, row: M) -> set[str]:
        """Which of `actions_detail` make sense for the row as it is; for buttons only, the domain decides."""
        raise NotImplementedError

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons that the user may press and that make sense."""
        row = self.get_object(request, unquote(str(object_id)))
        sensible = self.sensible_actions(row) if row else set()
        allowed = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in allowed if each.path in sensible]

    def existing(self, request: HttpRequest, object_id: str) -> M:
        """Raises Http404."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        return row

    def page(self, request: HttpRequest, row: M, template: str, title: str, **about: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "original": row,
            "back_url": self._page_of(row),
            **about,
        }
        return TemplateResponse(request, f"admin/billing/{self.opts.model_name}/{template}", context)

    def back(self, request: HttpRequest, row: M, message: str, level: int = messages.SUCCESS) -> HttpResponse:
        """To the row's page, with a message."""
        messages.add_message(request, level, message)
        return leave_dialog(request, self._page_of(row))

    def _page_of(self, row: M) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
