"""What a customer sees of the own account: the subscription and the invoices."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.account_serializers import InvoiceSerializer, SubscriptionResponse
from billing.api.domain_problems import as_problems
from billing.entitlements.overage import overage_now
from billing.http.openapi import problem
from billing.http.pagination import NewestFirst
from billing.http.views import ApiView, account_of
from billing.models import Invoice
from billing.rules.money import in_currency
from billing.subscriptions.current import current_subscription


class SubscriptionDetail(ApiView):
    """Your subscription as it stands: the plan in force, what its period was sold for, what comes next."""

    @extend_schema("getSubscription", responses={200: SubscriptionResponse} | problem(404, "not_found"))
    def get(self, request: Request, **_: Any) -> Response:
        account, at = account_of(request), timezone.now()
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
            "overage": overage_now(account, at),
        }
        return Response(SubscriptionResponse(shown).data)


class InvoicePages(NewestFirst):
    ordering = ("-issued_at", "-pk")


def issued_to(account: int) -> QuerySet[Invoice]:
    """The account's invoices, with their lines."""
    return Invoice.objects.issued().filter(account=account).prefetch_related("lines")


@extend_schema_view(get=extend_schema("listInvoices"))
class InvoiceList(ApiView, ListAPIView[Invoice]):
    """Your invoices."""

    query_fields = frozenset({"cursor", "limit"})
    serializer_class = InvoiceSerializer
    pagination_class = InvoicePages

    def get_queryset(self) -> QuerySet[Invoice]:
        if getattr(self, "swagger_fake_view", False):
            return Invoice.objects.none()
        return issued_to(account_of(self.request))


class InvoiceDetail(ApiView):
    """One of your invoices."""

    @extend_schema(
        "getInvoice",
        parameters=[OpenApiParameter("number", str, OpenApiParameter.PATH, description="Such as `INV-000042`.")],
        responses=InvoiceSerializer,
    )
    def get(self, request: Request, number: str, **_: Any) -> Response:
        invoice = get_object_or_404(issued_to(account_of(request)), number=number)
        return Response(InvoiceSerializer(invoice).data)
