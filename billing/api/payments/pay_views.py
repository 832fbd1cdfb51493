"""Paying an invoice over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from billing.api.domain_problems import asked
from billing.api.payments import chain_payments
from billing.api.sentences import to_customer
from billing.http.fields import StrictSerializer
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.problems import Problem
from billing.http.views import ApiView, account_of
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.charging import paying
from billing.payments.cards.charging.pages import ProviderUnreachable, Ways
from billing.payments.cards.configured import card_gateway

CARD: Final = "card"
DECLINE: Final = {
    "decline_code": {"type": "string", "description": "The bank's, such as `insufficient_funds`."},
    "retryable": {"type": "boolean", "description": "The same card may pass on another day."},
}


@extend_schema_serializer(
    examples=[
        OpenApiExample("By card", {"method": "card"}, request_only=True),
        OpenApiExample("In a stablecoin", {"method": "usdc"}, request_only=True),
    ]
)
class PayRequest(StrictSerializer):
    method = serializers.CharField(
        max_length=100,
        help_text="`card`: your default card, or where you have none the payment page. Or the id of one of your "
        "payment methods, or the code of a token, such as `usdc`.",
    )


@extend_schema_serializer(examples=[OpenApiExample("Paid", {"status": "paid"})])
class PaidResponse(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["paid"])


@extend_schema_serializer(
    examples=[
        OpenApiExample("Go on there", {"status": "action_required", "url": "https://checkout.example.com/c/pay/cs_1"}),
        OpenApiExample("Not known yet", {"status": "processing"}),
    ]
)
class PendingResponse(serializers.Serializer[Any]):
    status = serializers.ChoiceField(
        ["action_required", "processing"],
        help_text="`processing`: what becomes of it is found out; look at the invoice again.",
    )
    url = serializers.CharField(required=False, help_text="Of `action_required`: where you go on, in a browser.")


class Pay(ApiView):
    """Paying one of your invoices."""

    @extend_schema(
        "payInvoice",
        extensions=IDEMPOTENT,
        parameters=[OpenApiParameter("number", str, OpenApiParameter.PATH, description="Such as `INV-000042`.")],
        request=PayRequest,
        responses={200: PaidResponse, 201: chain_payments.TransferRequested, 202: PendingResponse}
        | problem(402, "payment_failed", **DECLINE)
        | problem(404, "not_found")
        | problem(409, "not_payable"),
    )
    def post(self, request: Request, number: str, **_: Any) -> HttpResponseBase:
        """Pay what is due on an invoice, now."""
        now = timezone.now()
        return idempotent(request, now, lambda: _pay(request, number, now))


def _pay(request: Request, number: str, now: datetime) -> Callable[[], Response]:
    """Before any transaction, as the provider is called: a second request meanwhile finds the attempt of the first."""
    chosen = str(asked(PayRequest, request)["method"])
    account = account_of(request)
    invoice = get_object_or_404(Invoice.objects.issued(), account=account, number=number)
    if invoice.status != Invoice.Status.OPEN:
        raise _problem(BillingError("not_payable", invoice=number, status=invoice.status))
    token = chain_payments.token_of(invoice, chosen)
    if token is not None:
        return lambda: chain_payments.request_transfer(invoice, token, now)
    response = _by_card(invoice, chosen, now)
    return lambda: response


def _by_card(invoice: Invoice, chosen: str, now: datetime) -> Response:
    """Raises ValidationError for a method that there is not, and Problem."""
    gateway = card_gateway()
    method = None if gateway is None or chosen == CARD else _saved(invoice.account_id, chosen)
    if gateway is None or (method is None and chosen != CARD):
        ways = [*([CARD, "the id of a saved card"] if gateway is not None else ()), *chain_payments.codes(invoice)]
        said = f"Give {' or '.join(ways)}." if ways else "Pay by bank transfer."
        raise ValidationError({"method": [f"There is no such payment method. {said}"]})
    try:
        paid = paying.pay(gateway, invoice, method, ways_back(invoice), now)
    except BillingError as refused:
        raise _problem(refused) from None
    body = {"status": str(paid.outcome)} | ({"url": paid.url} if paid.url else {})
    return Response(body, status=200 if paid.outcome == paying.Outcome.PAID else 202)


def _saved(account: int, chosen: str) -> PaymentMethod | None:
    return next((each for each in methods.methods_of(account) if str(each.pk) == chosen), None)


def ways_back(invoice: Invoice, language: str = "") -> Ways:
    """Where the provider's page leads back to: the invoice's page of the dashboard."""
    page = f"{settings.SITE_URL}/dashboard/billing/invoices/{invoice.number}"
    return Ways(f"{page}/paid/?page={{page}}", f"{page}/pay/", language)


def _problem(refused: BillingError) -> Problem:
    if isinstance(refused, paying.ChargeDeclined):
        said = {"decline_code": refused.decline_code, "retryable": refused.retryable}
        return Problem(402, refused.code, to_customer(refused), **said)
    if isinstance(refused, ProviderUnreachable):
        return Problem(503, "unavailable", to_customer(refused))
    return Problem(409, "not_payable", to_customer(refused))
