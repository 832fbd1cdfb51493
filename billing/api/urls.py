"""Paths of the catalogue and of billing under /api/v1/. A trailing slash is accepted everywhere, for every method."""

from django.urls import re_path

from billing.api import catalogue_views, key_views
from billing.api.documents import details_views, document_views, pdf_views
from billing.api.payments import money_views, pay_views, payment_method_views
from billing.api.subscriptions import (
    account_views,
    cancel_views,
    coupon_views,
    overage_views,
    plan_change_views,
    token_pack_views,
)
from billing.api.webhooks.urls import urlpatterns as of_webhooks

urlpatterns = [
    re_path(r"^plans/?$", catalogue_views.PlanList.as_view(), name="plans"),
    re_path(r"^plans/(?P<code>[a-z0-9_-]+)/?$", catalogue_views.PlanDetail.as_view(), name="plan"),
    re_path(r"^features/?$", catalogue_views.FeatureList.as_view(), name="features"),
    re_path(r"^models/?$", catalogue_views.ModelList.as_view(), name="models"),
    re_path(
        r"^billing/calculate-proration/?$",
        plan_change_views.CalculateProration.as_view(),
        name="billing-calculate-proration",
    ),
    re_path(r"^billing/upgrade/?$", plan_change_views.Upgrade.as_view(), name="billing-upgrade"),
    re_path(r"^billing/downgrade/?$", plan_change_views.Downgrade.as_view(), name="billing-downgrade"),
    re_path(r"^billing/cancel/?$", cancel_views.Cancel.as_view(), name="billing-cancel"),
    re_path(r"^billing/coupon/?$", coupon_views.CouponView.as_view(), name="billing-coupon"),
    re_path(r"^billing/overage/?$", overage_views.OverageCap.as_view(), name="billing-overage"),
    re_path(r"^billing/token-packs/?$", token_pack_views.TokenPackList.as_view(), name="token-packs"),
    re_path(
        r"^billing/token-packs/(?P<code>[a-z0-9_-]+)/?$",
        token_pack_views.TokenPackPurchases.as_view(),
        name="token-pack",
    ),
    re_path(r"^billing/subscription/?$", account_views.SubscriptionDetail.as_view(), name="billing-subscription"),
    re_path(r"^billing/details/?$", details_views.Details.as_view(), name="billing-details"),
    re_path(r"^billing/invoices/?$", document_views.InvoiceList.as_view(), name="billing-invoices"),
    re_path(
        r"^billing/invoices/(?P<number>[A-Za-z0-9-]+)/?$",
        document_views.InvoiceDetail.as_view(),
        name="billing-invoice",
    ),
    re_path(
        r"^billing/invoices/(?P<number>[A-Za-z0-9-]+)/pdf/?$",
        pdf_views.InvoicePdf.as_view(),
        name="billing-invoice-pdf",
    ),
    re_path(
        r"^billing/invoices/(?P<number>[A-Za-z0-9-]+)/payments/?$",
        money_views.InvoicePayments.as_view(),
        name="billing-invoice-payments",
    ),
    re_path(
        r"^billing/invoices/(?P<number>[A-Za-z0-9-]+)/pay/?$",
        pay_views.Pay.as_view(),
        name="billing-invoice-pay",
    ),
    re_path(r"^billing/credit-notes/?$", document_views.CreditNoteList.as_view(), name="billing-credit-notes"),
    re_path(
        r"^billing/credit-notes/(?P<number>[A-Za-z0-9-]+)/?$",
        document_views.CreditNoteDetail.as_view(),
        name="billing-credit-note",
    ),
    re_path(
        r"^billing/credit-notes/(?P<number>[A-Za-z0-9-]+)/pdf/?$",
        pdf_views.CreditNotePdf.as_view(),
        name="billing-credit-note-pdf",
    ),
    re_path(
        r"^billing/payment-methods/?$", payment_method_views.PaymentMethodList.as_view(), name="billing-payment-methods"
    ),
    re_path(
        r"^billing/payment-methods/(?P<id>[A-Za-z0-9]{1,18})/?$",
        payment_method_views.PaymentMethodDetail.as_view(),
        name="billing-payment-method",
    ),
    re_path(r"^billing/balance/?$", money_views.Balance.as_view(), name="billing-balance"),
    re_path(r"^keys/?$", key_views.KeyList.as_view(), name="keys"),
    re_path(r"^keys/(?P<id>[A-Za-z0-9]{1,150})/?$", key_views.KeyDetail.as_view(), name="key"),
    re_path(r"^keys/(?P<id>[A-Za-z0-9]{1,150})/rotate/?$", key_views.KeyRotation.as_view(), name="key-rotate"),
    *of_webhooks,
]
