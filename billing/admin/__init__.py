"""The admin's pages for what is sold, and to whom."""

from django.contrib import admin
from rest_framework_api_key.models import APIKey

from billing.admin import mails, outbox
from billing.admin.catalogue import coupons, features, model_prices, plans, token_packs
from billing.admin.chains import chains
from billing.admin.chains import payments as chain_payments
from billing.admin.chains import refunds as chain_refunds
from billing.admin.customers import api_keys, erasures, exceptions, groups, users
from billing.admin.customers import subscriptions as customers
from billing.admin.invoicing import invoices, movements, parties
from billing.admin.money import incoming, outgoing
from billing.admin.payments import attempts, cards
from billing.admin.subscriptions import bulk_moves
from billing.admin.webhooks import deliveries as webhook_deliveries
from billing.admin.webhooks import endpoints as webhook_endpoints

# The library's own keys, whose table stays empty: ours are in api_keys.
admin.site.unregister(APIKey)

__all__ = [
    "api_keys",
    "attempts",
    "bulk_moves",
    "cards",
    "chain_payments",
    "chain_refunds",
    "chains",
    "coupons",
    "customers",
    "erasures",
    "exceptions",
    "features",
    "groups",
    "incoming",
    "invoices",
    "mails",
    "model_prices",
    "movements",
    "outbox",
    "outgoing",
    "parties",
    "plans",
    "token_packs",
    "users",
    "webhook_deliveries",
    "webhook_endpoints",
]
