"""Paths below /dashboard/webhooks/."""

from __future__ import annotations

from django.urls import path

from billing_site.dashboard.webhooks import pages

urlpatterns = [
    path("", pages.show, name="dashboard-webhooks"),
    path("<int:endpoint>/", pages.one, name="dashboard-webhook"),
    path("<int:endpoint>/edit/", pages.edit, name="dashboard-webhook-edit"),
    path("<int:endpoint>/rotate/", pages.rotate, name="dashboard-webhook-rotate"),
    path("<int:endpoint>/delete/", pages.delete, name="dashboard-webhook-delete"),
    path("<int:endpoint>/switch/", pages.switch, name="dashboard-webhook-switch"),
    path("<int:endpoint>/ping/", pages.ping, name="dashboard-webhook-ping"),
    path("<int:endpoint>/again/", pages.send_all_again, name="dashboard-webhook-again"),
    path("<int:endpoint>/<int:delivery>/again/", pages.send_again, name="dashboard-delivery-again"),
]
