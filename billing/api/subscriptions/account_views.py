"""What a customer sees of the own subscription."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.domain_problems import as_problems
from billing.api.subscriptions.account_serializers import SubscriptionResponse
from billing.entitlements.overage import overage_now
from billing.http.openapi import problem
from billing.http.views import ApiView, account_of
from billing.models import PastDue
from billing.rules.money import in_currency
from billing.subscriptions.current import current_subscription


class SubscriptionDetail(ApiView):
    """Your subscription as it stands: the plan in force, what its period was sold for, what comes next."""

    @extend_schema("getSubscription", responses={200: SubscriptionResponse} | problem(404, "not_found"))
    def get(self, request: Request, **_: Any) -> Response:
        return Response(subscription_at(account_of(request), timezone.now()))


def subscription_at(account: int, at: datetime) -> dict[str, Any]:
    """The account's subscription as it stands then. Raises Problem (404) where there is none."""
    with as_problems():
        now = current_subscription(account, at)
    shown = {
        "plan": now.plan.code,
        "status": now.subscription.status,
        "current_period_start": now.period.starts_at,
        "current_period_end": now.period.ends_at,
        "period_price": in_currency(now.period.price, now.period.currency),
        "currency": now.period.currency,
        "scheduled_plan": now.scheduled_plan.code if now.scheduled_plan else None,
        "scheduled_plan_date": now.scheduled_at.date() if now.scheduled_at else None,
        "next_invoice_amount": now.next_invoice_amount,
        "balance": now.balance,
        "cancel_at": now.cancel_at,
        "trial_ends_at": now.trial_ends_at,
        "discount": in_currency(now.period.discount, now.period.currency) if now.period.discount else None,
        "coupon": now.period.coupon.code if now.period.coupon and now.period.discount else None,
        "past_due_since": PastDue.objects.since([account]).get(account),
        "overage": overage_now(account, at),
    }
    return dict(SubscriptionResponse(shown).data)
