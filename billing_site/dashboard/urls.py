"""Paths below /dashboard/."""

from __future__ import annotations

from django.urls import path

from billing_site.dashboard import overview, settings

urlpatterns = [
    path("", overview.show, name="dashboard"),
    path("settings/", settings.edit, name="dashboard-settings"),
]
