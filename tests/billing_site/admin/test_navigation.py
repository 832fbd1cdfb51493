"""The sidebar leads to every list of the admin."""

from __future__ import annotations

from django.contrib import admin

from billing_site.admin.navigation import PAGES


def test_each_list_is_in_the_sidebar() -> None:
    named = {model for pages in PAGES.values() for _, model, _ in pages}
    of_a_move = {"billing.bulkmoveitem"}  # its page leads there
    assert {model._meta.label_lower for model in admin.site._registry} - of_a_move == named
