"""Plan changes over HTTP: what one would cost, upgrade now, downgrade at the period's end, keep the plan after all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from billing.api.domain_problems import as_problems, asked, checked
from billing.api.sentences import to_customer
from billing.api.subscriptions.coupon_codes import COUPON_INVALID, find_coupon
from billing.api.subscriptions.plan_change_serializers import (
    DowngradeRequest,
    DowngradeResponse,
    ProrationRequest,
    ProrationResponse,
    UpgradeRequest,
    UpgradeResponse,
)
from billing.http.fields import NothingAsked
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, either, problem
from billing.http.views import ApiView, account_of
from billing.invoicing import ledger
from billing.models.invoicing.invoices import NOTHING
from billing.rules.money import in_currency
from billing.rules.plan_change import days_until
from billing.subscriptions import changes
from billing.subscriptions.previews import InvalidCycle, calculate_proration
from billing.subscriptions.quotes import Quote

CAPABILITIES = {"type": "array", "minItems": 1, "items": {"type": "string"}}
ERRORS = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}


class CalculateProration(ApiView):
    """What a change of plan would cost; changes nothing."""

    @extend_schema("calculateProration", request=ProrationRequest, responses={200: ProrationResponse} | COUPON_INVALID)
    def post(self, request: Request, **_: Any) -> Response:
        return Response(preview(account_of(request), request.data, timezone.now()))


def preview(account: int, asked_for: Any, now: datetime) -> dict[str, Any]:
    """What a change would cost, asked as ProrationRequest has it. Raises ValidationError and Problem."""
    given = checked(ProrationRequest, asked_for)
    coupon = find_coupon(account, given["coupon"], now) if "coupon" in given else None
    try:
        with as_problems():
            quote = calculate_proration(
                account,
                given["target_plan"],
                now,
                current=given.get("current_plan"),
                cycle_start=given.get("billing_cycle_start"),
                cycle_end=given.get("billing_cycle_end"),
                at=given.get("at"),
                trial=given["trial"],
                coupon=coupon,
            )
    except InvalidCycle as error:
        raise ValidationError({"billing_cycle_end": [to_customer(error)]}) from None
    return dict(ProrationResponse(_shown(quote)).data)


class Upgrade(ApiView):
    """Move to a higher plan now, for a prorated invoice: period and anchor stay, a scheduled change is dropped.

    Without a plan, get one: its first period begins now, at the full price. While you pay nothing and never had a
    trial, the plan's trial begins instead, free of charge.
    """

    @extend_schema(
        "upgrade",
        extensions=IDEMPOTENT,
        request=UpgradeRequest,
        responses={200: UpgradeResponse}
        | problem(400, "not_an_upgrade", errors=ERRORS)
        | problem(403, "forbidden")
        | problem(409, "quote_expired"),
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        now = timezone.now()
        return idempotent(request, now, lambda: _upgrade(request, now))


class Downgrade(ApiView):
    """A lower plan from the present period's end on."""

    @extend_schema(
        "scheduleDowngrade",
        extensions=IDEMPOTENT,
        request=DowngradeRequest,
        responses={200: DowngradeResponse}
        | either(
            problem(400, "not_a_downgrade", errors=ERRORS),
            problem(400, "active_features", errors=ERRORS, active_features=CAPABILITIES),
        )
        | problem(403, "forbidden")
        | problem(404, "not_found"),
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        """Schedule a lower plan for the present period's end; it replaces what was scheduled."""
        now = timezone.now()
        return idempotent(request, now, lambda: _downgrade(request, now))

    @extend_schema(
        "cancelDowngrade",
        extensions=IDEMPOTENT,
        request=None,
        responses={204: None}
        | problem(403, "forbidden")
        | problem(404, "not_found")
        | problem(409, "nothing_scheduled"),
    )
    def delete(self, request: Request, **_: Any) -> HttpResponseBase:
        """Keep the present plan: the change that was scheduled is dropped."""
        now = timezone.now()
        return idempotent(request, now, lambda: _cancel(request, now))


def _upgrade(request: Request, now: datetime) -> Callable[[], Response]:
    given, account = asked(UpgradeRequest, request), account_of(request)

    def change() -> Response:
        with as_problems():
            quoted_at, trial = given.get("quoted_at"), given["trial"]
            changed = changes.upgrade(account, given["target_plan"], now, quoted_at, trial=trial)
        plan, invoice, currency = changed.subscription.plan, changed.invoice, changed.proration.currency
        answer = {
            "message": f"Trial of {plan.name} begun" if changed.trial_ends_at else f"Upgraded to {plan.name}",
            "previous_plan": changed.previous_plan.code if changed.previous_plan else None,
            "current_plan": plan.code,
            "prorated_amount": changed.proration.net,
            "tax": in_currency(invoice.tax if invoice else NOTHING, currency),
            "amount_due": in_currency(invoice.due if invoice else NOTHING, currency),
            "currency": currency,
            "invoice": invoice.number if invoice else None,
            "current_period_start": changed.period.start,
            "current_period_end": changed.period.end,
            "trial_ends_at": changed.trial_ends_at,
        }
        return Response(UpgradeResponse(answer).data)

    return change


def _downgrade(request: Request, now: datetime) -> Callable[[], Response]:
    given, account = asked(DowngradeRequest, request), account_of(request)
    target = given["target_plan"]
    with as_problems():
        in_use = changes.features_in_use(account, target, now)

    def change() -> Response:
        with as_problems():
            subscription = changes.downgrade_with_effective_date(account, target, now, in_use)
        assert subscription.scheduled_at is not None
        answer = {
            "message": "Downgrade scheduled",
            "current_plan": subscription.plan.code,
            "target_plan": target.code,
            "effective_date": subscription.scheduled_at.date(),
            "days_until_downgrade": days_until(now, subscription.scheduled_at),
        }
        return Response(DowngradeResponse(answer).data)

    return change


def _cancel(request: Request, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)

    def change() -> Response:
        with as_problems():
            changes.cancel_scheduled_change(account_of(request), now)
        return Response(status=204)

    return change


def _shown(quote: Quote) -> dict[str, Any]:
    proration, bill = quote.proration, quote.bill(quote.at)
    balance = ledger.balance(bill.subscription.account_id, bill.currency)
    return {
        "prorated_amount": proration.net,
        "days_remaining": proration.days_remaining,
        "days_total": proration.days_total,
        "current_plan_cost": quote.current_cost,
        "target_plan_cost": quote.target_cost,
        "credit_from_current": proration.credit,
        "charge_for_target": proration.charge,
        "tax": in_currency(bill.tax, bill.currency),
        "amount_due": in_currency(max(bill.gross, NOTHING) - ledger.used_of(balance, bill.gross), bill.currency),
        "currency": proration.currency,
        "direction": str(quote.direction),
        "at": quote.at,
        "trial_ends_at": quote.trial_ends_at,
        "discount": proration.discount if quote.coupon else None,
        "coupon": quote.coupon.code if quote.coupon else None,
    }
