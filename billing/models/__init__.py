"""What was sold: the catalogue, subscriptions and their periods, allowances, API keys, and the fence's versions."""

from billing.fence.models import Fence
from billing.models.allowances import LimitOverride, TokenTopUp
from billing.models.api_keys import ApiKey
from billing.models.billing_periods import BillingPeriod
from billing.models.bulk_moves import BulkMove, BulkMoveItem
from billing.models.coupons import Coupon, CouponRedemption
from billing.models.erasures import Erasure
from billing.models.features import Feature, Route
from billing.models.invoices import (
    BalanceEntry,
    CreditNote,
    DocumentNumber,
    Invoice,
    InvoiceLine,
    Payment,
)
from billing.models.overage import WindowOverage
from billing.models.plans import Capability, Plan
from billing.models.stored_responses import StoredResponse
from billing.models.subscriptions import Subscription
from billing.models.token_packs import TokenPack, TokenPackPurchase
from billing.outbox.models import OutboxCursor, OutboxMessage

__all__ = [
    "ApiKey",
    "BalanceEntry",
    "BillingPeriod",
    "BulkMove",
    "BulkMoveItem",
    "Capability",
    "Coupon",
    "CouponRedemption",
    "CreditNote",
    "DocumentNumber",
    "Erasure",
    "Feature",
    "Fence",
    "Invoice",
    "InvoiceLine",
    "LimitOverride",
    "OutboxCursor",
    "OutboxMessage",
    "Payment",
    "Plan",
    "Route",
    "StoredResponse",
    "Subscription",
    "TokenPack",
    "TokenPackPurchase",
    "TokenTopUp",
    "WindowOverage",
]
