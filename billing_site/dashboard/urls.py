"""Paths below /dashboard/."""

from __future__ import annotations

from django.urls import include, path

from billing_site.dashboard import activity, billing, overview, settings
from billing_site.dashboard.keys import pages as keys
from billing_site.dashboard.members import pages as members
from billing_site.dashboard.payments import paying, payment_methods, token_payments
from billing_site.dashboard.plans import extras, suggestion
from billing_site.dashboard.plans import pages as plans
from billing_site.dashboard.usage import agents, notices
from billing_site.dashboard.usage import log as usage

urlpatterns = [
    path("", overview.show, name="dashboard"),
    path("suggestion/", suggestion.show, name="dashboard-suggestion"),
    path("keys/", keys.show, name="dashboard-keys"),
    path("keys/<slug:key>/rename/", keys.rename, name="dashboard-key-rename"),
    path("keys/<slug:key>/limits/", keys.limits, name="dashboard-key-limits"),
    path("keys/<slug:key>/rotate/", keys.rotate, name="dashboard-key-rotate"),
    path("keys/<slug:key>/revoke/", keys.revoke, name="dashboard-key-revoke"),
    path("webhooks/", include("billing_site.dashboard.webhooks.urls")),
    path("standing/", overview.standing, name="dashboard-standing"),
    path("days/", overview.days, name="dashboard-days"),
    path("usage/", usage.show, name="dashboard-usage"),
    path("usage/export/", usage.export, name="dashboard-usage-export"),
    path("agents/", agents.show, name="dashboard-agents"),
    path("plans/", plans.show, name="dashboard-plans"),
    path("plans/cancel/", plans.cancel, name="dashboard-cancel"),
    path("plans/keep/", plans.keep, name="dashboard-keep"),
    path("plans/cap/", extras.cap, name="dashboard-cap"),
    path("plans/coupon/", extras.coupon, name="dashboard-coupon"),
    path("plans/packs/<slug:code>/", extras.buy, name="dashboard-pack"),
    path("plans/change/<slug:code>/", plans.change, name="dashboard-change"),
    path("billing/", billing.show, name="dashboard-billing"),
    path("billing/details/", billing.details, name="dashboard-details"),
    path("billing/invoices/<slug:number>/", billing.invoice, name="dashboard-invoice"),
    path("billing/invoices/<slug:number>/pdf/", billing.invoice_pdf, name="dashboard-invoice-pdf"),
    path("billing/invoices/<slug:number>/pay/", paying.pay, name="dashboard-pay"),
    path("billing/invoices/<slug:number>/paid/", paying.paid, name="dashboard-paid"),
    path("billing/invoices/<slug:number>/pay/<slug:code>/", token_payments.pay, name="dashboard-token-payment"),
    path(
        "billing/invoices/<slug:number>/pay/<slug:code>/state/",
        token_payments.state,
        name="dashboard-token-payment-state",
    ),
    path("billing/pay-out/<slug:code>/", token_payments.refund, name="dashboard-token-refund"),
    path("billing/credit-notes/<slug:number>/pdf/", billing.note_pdf, name="dashboard-note-pdf"),
    path("payment-methods/", payment_methods.show, name="dashboard-payment-methods"),
    path("payment-methods/add/", payment_methods.add, name="dashboard-payment-method-add"),
    path("payment-methods/back/", payment_methods.back, name="dashboard-payment-method-back"),
    path(
        "payment-methods/<int:method>/default/", payment_methods.make_default, name="dashboard-payment-method-default"
    ),
    path("payment-methods/<int:method>/remove/", payment_methods.remove, name="dashboard-payment-method-remove"),
    path("members/", members.show, name="dashboard-members"),
    path("members/invite/", members.invite, name="dashboard-invite"),
    path("members/withdraw/<int:invitation>/", members.withdraw, name="dashboard-withdraw"),
    path("members/<int:member>/role/", members.role, name="dashboard-role"),
    path("members/remove/<int:user>/", members.remove, name="dashboard-remove"),
    path("members/join/<str:secret>/", members.join, name="dashboard-join"),
    path("members/act-for/", members.act_for, name="dashboard-act-for"),
    path("activity/", activity.show, name="dashboard-activity"),
    path("notices/", notices.show, name="dashboard-notices"),
    path("notices/add/", notices.add, name="dashboard-notice-add"),
    path("notices/<int:threshold>/remove/", notices.remove, name="dashboard-notice-remove"),
    path("unsubscribe/<str:token>/", notices.unsubscribe, name="unsubscribe"),
    path("settings/", settings.edit, name="dashboard-settings"),
]
