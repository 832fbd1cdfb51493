"""The admin's sidebar: every page that staff work with, in the order of the work."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing.models import Chain, CryptoRefund, Subscription
from billing.payments.chains import configuration

PAGES = {
    "Catalogue": [
        ("Plans", "billing.plan", "sell"),
        ("Features", "billing.feature", "bolt"),
        ("Routes", "billing.route", "route"),
        ("Capabilities", "billing.capability", "extension"),
        ("Model prices", "billing.modelprice", "neurology"),
        ("Token packs", "billing.tokenpack", "package_2"),
        ("Coupons", "billing.coupon", "percent"),
    ],
    "Customers": [
        ("Users", get_user_model()._meta.label_lower, "person"),
        ("Subscriptions", "billing.subscription", "autorenew"),
        ("Moves of subscribers", "billing.bulkmove", "group_work"),
        ("API keys", "billing.apikey", "key"),
        ("Limit overrides", "billing.limitoverride", "tune"),
        ("Token top-ups", "billing.tokentopup", "add_circle"),
        ("Pack purchases", "billing.tokenpackpurchase", "shopping_bag"),
        ("Coupon redemptions", "billing.couponredemption", "redeem"),
        ("Erasures", "billing.erasure", "person_off"),
        ("Billing details", "billing.billingdetails", "contact_mail"),
        ("Notes", "billing.accountnote", "sticky_note_2"),
    ],
    "Invoicing": [
        ("Invoices", "billing.invoice", "receipt"),
        ("Overage", "billing.windowoverage", "trending_up"),
        ("Credit notes", "billing.creditnote", "undo"),
        ("Payments", "billing.payment", "payments"),
        ("Money in", "billing.moneyin", "add_card"),
        ("Reversals", "billing.reversal", "money_off"),
        ("Refunds", "billing.refund", "output"),
        ("Balance entries", "billing.balanceentry", "account_balance_wallet"),
        ("Saved cards", "billing.paymentmethod", "credit_card"),
        ("Charges by card", "billing.paymentattempt", "contactless"),
        ("Disputes", "billing.dispute", "gavel"),
        ("Provider's events", "billing.providerevent", "webhook"),
        ("Seller", "billing.seller", "storefront"),
        ("Tax rates", "billing.taxrate", "percent"),
    ],
    "Stablecoins": [
        ("Payment requests", "billing.paymentrequest", "qr_code_2"),
        ("Transfers", "billing.chaintransfer", "swap_horiz"),
        ("Pay-outs", "billing.cryptorefund", "send_money"),
        ("Tokens", "billing.token", "toll"),
        ("Chains", "billing.chain", "link"),
        ("Deposit keys", "billing.depositkey", "key_visualizer"),
    ],
    "Usage": [
        ("Usage log", "usage.usagelog", "receipt_long"),
        ("Reservations", "usage.reservation", "hourglass_top"),
        ("Thresholds crossed", "usage.thresholdcrossed", "notifications"),
        ("Usage resets", "usage.usagereset", "restart_alt"),
        ("Set-aside entries", "usage.setasideentry", "report"),
        ("Redis outages", "usage.redisoutage", "power_off"),
    ],
    "Operations": [
        ("Outbox deliveries", "billing.outboxcursor", "outbox"),
        ("What happened", "billing.outboxmessage", "history"),
        ("Webhooks", "billing.webhookendpoint", "webhook"),
        ("Webhook deliveries", "billing.webhookdelivery", "send"),
        ("Mails", "billing.sentmail", "mail"),
        ("Mailbox", "billing.mailboxmessage", "inbox"),
    ],
    "Access": [
        ("Groups", "auth.group", "group"),
        ("E-mail addresses", "account.emailaddress", "alternate_email"),
        ("Second factors", "mfa.authenticator", "phonelink_lock"),
    ],
}
"""Title, model and icon (Material Symbols) of each page, by group."""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """What Unfold draws for this user: the pages that the user's permissions open."""
    return [
        {"title": group, "separator": True, "items": items}
        for group, pages in PAGES.items()
        if (items := [_item(*page) for page in pages if _may_see(request, page[1])])
    ]


def _may_see(request: HttpRequest, model: str) -> bool:
    return admin.site.get_model_admin(apps.get_model(model)).has_view_permission(request)


def _item(title: str, model: str, icon: str) -> dict[str, Any]:
    item = {"title": title, "icon": icon, "link": reverse(f"admin:{model.replace('.', '_')}_changelist")}
    if model == "billing.subscription" and (parked := Subscription.objects.parked().count()):
        item |= {"badge": f"{parked} parked", "badge_variant": "warning"}
    if model in _OF_CHAINS and configuration.is_on() and (waiting := _OF_CHAINS[model]()):
        item |= {"badge": waiting, "badge_variant": "warning"}
    return item


def _to_send() -> str:
    waiting = CryptoRefund.objects.waiting_for_staff().count()
    return f"{waiting} to do" if waiting else ""


def _in_trouble() -> str:
    now = timezone.now()
    trouble = sum(chain.state(now) != "ok" for chain in Chain.objects.enabled())
    return f"{trouble} in trouble" if trouble else ""


_OF_CHAINS: Final = {"billing.cryptorefund": _to_send, "billing.chain": _in_trouble}
"""What waits for staff there, in words; empty where nothing does."""
