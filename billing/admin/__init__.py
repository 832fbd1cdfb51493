"""The admin's pages for what is sold, and to whom."""

from django.contrib import admin
from rest_framework_api_key.models import APIKey

from billing.admin import (
    api_keys,
    catalogue,
    coupons,
    customers,
    erasures,
    features,
    invoices,
    outbox,
    parties,
    token_packs,
    users,
)
from billing.admin.subscriptions import bulk_moves

# The library's own keys, whose table stays empty: ours are in api_keys.
admin.site.unregister(APIKey)

__all__ = [
    "api_keys",
    "bulk_moves",
    "catalogue",
    "coupons",
    "customers",
    "erasures",
    "features",
    "invoices",
    "outbox",
    "parties",
    "token_packs",
    "users",
]
