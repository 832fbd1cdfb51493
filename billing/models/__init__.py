"""What was sold: the catalogue, subscriptions and their periods, allowances, API keys, and the fence's versions."""

from billing.fence.models import Fence
from billing.models.bulk_moves import BulkMove, BulkMoveItem
from billing.models.catalogue.coupons import Coupon, CouponRedemption
from billing.models.catalogue.features import Feature, Route
from billing.models.catalogue.model_prices import ModelPrice
from billing.models.catalogue.notices import NoticeThreshold
from billing.models.catalogue.plans import Capability, Plan
from billing.models.catalogue.token_packs import TokenPack
from billing.models.entitlements.allowances import LimitOverride, TokenTopUp
from billing.models.entitlements.api_keys import ApiKey, ApiKeyUse
from billing.models.entitlements.budgets import Budget
from billing.models.erasures import Erasure
from billing.models.invoicing.credit_notes import CreditNote
from billing.models.invoicing.invoices import Invoice, InvoiceLine
from billing.models.invoicing.overage import WindowOverage
from billing.models.invoicing.taxes import CreditNoteTax, InvoiceTax
from billing.models.invoicing.token_pack_purchases import TokenPackPurchase
from billing.models.mails import KnownPlace, MailboxMessage, SentMail
from billing.models.members import Invitation, Member
from billing.models.notes import AccountNote
from billing.models.parties import BillingDetails, Seller, TaxRate
from billing.models.payments.chains import (
    Chain,
    ChainCheckpoint,
    ChainTransfer,
    CryptoRefund,
    DepositAddress,
    DepositKey,
    PaymentRequest,
    SeenTransfer,
    Token,
    TransferCredit,
)
from billing.models.payments.disputes import Dispute
from billing.models.payments.money import MoneyIn, Refund, Reversal
from billing.models.payments.past_due import PastDue
from billing.models.payments.payment_attempts import PaymentAttempt
from billing.models.payments.payment_methods import PaymentMethod, ProviderCustomer, ProviderEvent, ProviderPoll
from billing.models.payments.settlements import BalanceEntry, DocumentNumber, Payment
from billing.models.preferences import Preferences
from billing.models.stored_responses import StoredResponse
from billing.models.subscriptions.billing_periods import BillingPeriod
from billing.models.subscriptions.subscription import Subscription
from billing.models.webhooks import WebhookDelivery, WebhookEndpoint, WebhookMessage
from billing.outbox.models import OutboxCursor, OutboxMessage

__all__ = [
    "AccountNote",
    "ApiKey",
    "ApiKeyUse",
    "BalanceEntry",
    "BillingDetails",
    "BillingPeriod",
    "Budget",
    "BulkMove",
    "BulkMoveItem",
    "Capability",
    "Chain",
    "ChainCheckpoint",
    "ChainTransfer",
    "Coupon",
    "CouponRedemption",
    "CreditNote",
    "CreditNoteTax",
    "CryptoRefund",
    "DepositAddress",
    "DepositKey",
    "Dispute",
    "DocumentNumber",
    "Erasure",
    "Feature",
    "Fence",
    "Invitation",
    "Invoice",
    "InvoiceLine",
    "InvoiceTax",
    "KnownPlace",
    "LimitOverride",
    "MailboxMessage",
    "Member",
    "ModelPrice",
    "MoneyIn",
    "NoticeThreshold",
    "OutboxCursor",
    "OutboxMessage",
    "PastDue",
    "Payment",
    "PaymentAttempt",
    "PaymentMethod",
    "PaymentRequest",
    "Plan",
    "Preferences",
    "ProviderCustomer",
    "ProviderEvent",
    "ProviderPoll",
    "Refund",
    "Reversal",
    "Route",
    "SeenTransfer",
    "Seller",
    "SentMail",
    "StoredResponse",
    "Subscription",
    "TaxRate",
    "Token",
    "TokenPack",
    "TokenPackPurchase",
    "TokenTopUp",
    "TransferCredit",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookMessage",
    "WindowOverage",
]
