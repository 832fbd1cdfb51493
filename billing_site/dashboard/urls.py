"""Paths below /dashboard/."""

from __future__ import annotations

from django.urls import path

from billing_site.dashboard import billing, extras, overview, plans, settings

urlpatterns = [
    path("", overview.show, name="dashboard"),
    path("plans/", plans.show, name="dashboard-plans"),
    path("plans/cancel/", plans.cancel, name="dashboard-cancel"),
    path("plans/keep/", plans.keep, name="dashboard-keep"),
    path("plans/cap/", extras.cap, name="dashboard-cap"),
    path("plans/coupon/", extras.coupon, name="dashboard-coupon"),
    path("plans/packs/<slug:code>/", extras.buy, name="dashboard-pack"),
    path("plans/change/<slug:code>/", plans.change, name="dashboard-change"),
    path("billing/", billing.show, name="dashboard-billing"),
    path("billing/details/", billing.details, name="dashboard-details"),
    path("billing/invoices/<str:number>/", billing.invoice, name="dashboard-invoice"),
    path("billing/invoices/<str:number>/pdf/", billing.invoice_pdf, name="dashboard-invoice-pdf"),
    path("billing/credit-notes/<str:number>/pdf/", billing.note_pdf, name="dashboard-note-pdf"),
    path("settings/", settings.edit, name="dashboard-settings"),
]
