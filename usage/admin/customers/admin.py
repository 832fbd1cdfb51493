"""The admin of users, whose page is the customer's: every link to a user in the admin leads there."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.customers.users import UserAdmin
from billing.admin.of_account import ERASED
from billing.models import AccountNote, Erasure
from billing.models.notes import LONGEST_NOTE
from billing.users import User, fields_of_names, label
from usage.admin.customers import actions, head, parts
from usage.admin.customers.filters import QuotaFilter


class NoteForm(forms.Form):
    text = forms.CharField(
        label="New note",
        max_length=LONGEST_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="For staff. It stays as it is written, and goes when the account is erased.",
    )


@admin.register(User)
class CustomerAdmin(UserAdmin):
    """A user's page shows the customer; the form of the user's own fields is one click further, at `edit/`."""

    list_filter = [QuotaFilter, *UserAdmin.list_filter]

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<int:account>/edit/", self.admin_site.admin_view(self.edit_view), name=f"{label()}_edit"),
            path("<int:account>/note/", self.admin_site.admin_view(self.note_view), name=f"{label()}_note"),
            path("<int:account>/part/<str:name>/", self.admin_site.admin_view(self.part_view), name=f"{label()}_part"),
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST":  # of the form, which browsers send to `edit/`
            return super().change_view(request, object_id, form_url, extra_context)
        return self._customer(request, self._seen(request, object_id), NoteForm())

    def edit_view(self, request: HttpRequest, account: int) -> HttpResponse:
        """The form of a user's own fields: name, address, rights."""
        return super().change_view(request, str(account))

    def note_view(self, request: HttpRequest, account: int) -> HttpResponse:
        user = self._seen(request, str(account))
        if not request.user.has_perm("billing.add_accountnote"):
            raise PermissionDenied
        if Erasure.objects.filter(account=user).exists():
            return self.back(request, user, ERASED, messages.ERROR)
        form = NoteForm(request.POST or None)
        if not form.is_valid():
            return self._customer(request, user, form)
        AccountNote.objects.create(account=user, text=form.cleaned_data["text"], author_id=request.user.pk)
        return self.back(request, user, "Noted.", messages.SUCCESS)

    def part_view(self, request: HttpRequest, account: int, name: str) -> HttpResponse:
        """A part of the page that is fetched by itself; as a page of its own where no script has asked for it."""
        part = parts.PARTS.get(name)
        if part is None:
            raise Http404("The page has no such part.")
        user = self._seen(request, str(account))
        about = {"sections": part.sections(request, user, timezone.now())}
        if "HX-Request" in request.headers:
            return TemplateResponse(request, "admin/customer/sections.html", about)
        return self.page(request, user, "part.html", f"{user}: {part.title}", **about)

    def _seen(self, request: HttpRequest, object_id: str) -> User:
        """The user, for who may look. Raises PermissionDenied, Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.existing(request, object_id)

    def _customer(self, request: HttpRequest, user: User, note: NoteForm) -> HttpResponse:
        now = timezone.now()
        shown = head.read(request, user, now)
        about: dict[str, Any] = {
            "customer": shown,
            "groups": actions.groups(request, self, user, shown.live, pays=shown.pays),
            "parts": [(name, part.title) for name, part in parts.PARTS.items() if part.is_seen(request)],
        }
        if request.user.has_perm("billing.view_accountnote"):
            about["notes"] = AccountNote.objects.filter(account=user).select_related("author")[: head.NOTES]
            may_add = request.user.has_perm("billing.add_accountnote") and not shown.is_erased
            about["note_form"] = note if may_add else None
        return self.page(request, user, "customer.html", str(user), **about)


@admin.register(AccountNote)
class AccountNoteAdmin(ReadOnly, ModelAdmin[AccountNote]):
    """Written on the customer's page."""

    list_display = ["created_at", "account", "text", "author"]
    list_select_related = ["account", "author"]
    search_fields = [*fields_of_names("account__")]
    search_help_text = "Username or e-mail"
    fields = ["account", "text", ("author", "created_at")]
