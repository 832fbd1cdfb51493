"""The admin page of erasures: for whom, when, and who asked."""

from __future__ import annotations

from django.contrib import admin

from billing.admin.base import ModelAdmin, ReadOnly
from billing.models import Erasure
from billing.users import fields_of_names


@admin.register(Erasure)
class ErasureAdmin(ReadOnly, ModelAdmin[Erasure]):
    """Made on a user's page, or by manage.py erase_account; one that is not finished goes on by itself."""

    list_display = ["account", "began_at", "finished_at", "asked_by"]
    list_display_links = ["account"]
    list_select_related = ["account", "asked_by"]
    list_filter = [("finished_at", admin.EmptyFieldListFilter)]
    search_fields = fields_of_names("account__")[:1]
    search_help_text = "Beginning of a username, such as erased-71"
    by_account = "account"
