"""Buttons on a row's page that make sense for its state, and the pages of their own that they lead to.

Each is a page and no dialog: it has an address, a way back and a heading that is read first, also without JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from billing.admin.base import M, ModelAdmin

F = TypeVar("F", bound=Callable[..., HttpResponse])


def page_action(label: str, *, permission: str, icon: str, danger: bool = False) -> Callable[[F], F]:
    """A button that opens a page, which the decorated method answers: (request, object_id), GET and POST.

    `permission` names a has_<permission>_permission method; `danger` is for what cannot be undone.
    """
    variant = ActionVariant.DANGER if danger else ActionVariant.DEFAULT
    return cast(Callable[[F], F], action(description=label, icon=icon, permissions=[permission], variant=variant))


def confirmed_action(
    label: str,
    question: str | Callable[[Any], str],
    *,
    permission: str,
    icon: str,
    danger: bool = False,
    seen: str = "",
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A button that opens a page with `question`, or what it says of the row; the decorated method acts on its POST,
    never on a GET.

    The method gets (request, row). `seen` names an attribute of the row that the page sends back as it was shown.
    """

    def decorate(act: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(act)
        def ask(self: ActionPages[M], request: HttpRequest, object_id: str) -> HttpResponse:
            row = self.existing(request, object_id)
            if request.method == "POST":
                return act(self, request, row)
            asked = question if isinstance(question, str) else question(row)
            about: dict[str, Any] = {"question": asked, "button": label, "danger": danger}
            if seen:
                about |= {"seen": seen, "seen_value": getattr(row, seen)}
            return self.page(request, row, "confirm.html", f"{label}?", **about)

        return page_action(label, permission=permission, icon=icon, danger=danger)(ask)

    return decorate


class ActionPages(ModelAdmin[M]):
    # Methods instead of the permissions' names: those Unfold looks up in the database whenever Django checks itself.
    def has_change_invoices_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_invoice"))

    def has_change_subscriptions_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_subscription"))

    def has_move_subscribers_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.move_subscribers"))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> M | None:
        """Where a page is only looked at, its buttons and its fields share one row."""
        if request.method != "GET":
            return super().get_object(request, object_id, from_field)
        rows = request.__dict__.setdefault("_rows_looked_at", {})
        asked = (self.opts.label, object_id, from_field)
        if asked not in rows:
            rows[asked] = super().get_object(request, object_id, from_field)
        row: M | None = rows[asked]
        return row

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
            **about,
        }
        if "back_url" not in context:
            context["back_url"] = self.way_back(request, row)
        # The model's own, or the one for all. Users' are in one place, whatever their model is called.
        own = "user" if self.model is get_user_model() else self.opts.model_name
        templates = [f"admin/billing/{own}/{template}", f"admin/billing/{template}"]
        return TemplateResponse(request, templates, context)

    def back(self, request: HttpRequest, row: M, message: str, level: int = messages.SUCCESS) -> HttpResponse:
        """To where the action came from, with a message."""
        messages.add_message(request, level, message)
        return HttpResponseRedirect(self.way_back(request, row))

    def way_back(self, request: HttpRequest, row: M) -> str:
        """The row's page, unless it is part of another one."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(row.pk)])
