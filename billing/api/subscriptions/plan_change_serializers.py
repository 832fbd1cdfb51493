"""Plan changes as JSON: what is asked for, and what came of it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import DateOrTimeField, MoneyField, StrictSerializer, TimeField
from billing.models import Plan
from billing.rules.plan_change import Direction

PREVIEWED = {
    "prorated_amount": 10.00,
    "days_remaining": 15,
    "days_total": 30,
    "current_plan_cost": 29.00,
    "target_plan_cost": 49.00,
    "credit_from_current": 14.50,
    "charge_for_target": 24.50,
    "currency": "USD",
    "direction": "upgrade",
    "at": "2025-10-16T09:30:00Z",
    "trial_ends_at": None,
    "discount": None,
    "coupon": None,
    "tax": 1.90,
    "amount_due": 11.90,
}
ASKED = {
    "current_plan": "starter",
    "target_plan": "pro",
    "billing_cycle_start": "2025-10-01",
    "billing_cycle_end": "2025-10-31",
}
UPGRADED = {
    "message": "Upgraded to Pro",
    "previous_plan": "starter",
    "current_plan": "pro",
    "prorated_amount": 10.00,
    "currency": "USD",
    "invoice": "INV-000042",
    "current_period_start": "2025-10-01T00:00:00Z",
    "current_period_end": "2025-10-31T00:00:00Z",
    "trial_ends_at": None,
    "tax": 1.90,
    "amount_due": 11.90,
}
TRIED = UPGRADED | {
    "message": "Trial of Pro begun",
    "previous_plan": "community",
    "prorated_amount": 0.00,
    "tax": 0.00,
    "amount_due": 0.00,
    "current_period_start": "2025-10-16T09:30:00Z",
    "current_period_end": "2025-10-30T09:30:00Z",
    "trial_ends_at": "2025-10-30T09:30:00Z",
}
SCHEDULED = {
    "message": "Downgrade scheduled",
    "current_plan": "pro",
    "target_plan": "starter",
    "effective_date": "2025-10-31",
    "days_until_downgrade": 15,
}


TRIAL = "Begin the plan's free trial where you get it: once, and while you pay nothing. False: pay now instead."


class _TargetSerializer(StrictSerializer):
    target_plan = serializers.CharField(max_length=50, help_text="The code of a plan on sale.")

    def validate_target_plan(self, code: str) -> Plan:
        on_sale = Plan.objects.on_sale()
        plan = on_sale.filter(code=code).first()
        if plan is None:
            codes = ", ".join(on_sale.values_list("code", flat=True))
            raise serializers.ValidationError(f"No such plan is on sale. On sale are: {codes}.")
        return plan


@extend_schema_serializer(
    examples=[
        OpenApiExample("To pro, now", {"target_plan": "pro"}),
        OpenApiExample("Between two plans, in a cycle that is given", ASKED),
    ]
)
class ProrationRequest(_TargetSerializer):
    current_plan = serializers.CharField(
        max_length=50,
        required=False,
        help_text="A plan's code; it counts at its list price. Default: your plan, at your `period_price`.",
    )
    billing_cycle_start = DateOrTimeField(required=False, help_text="A date means 00:00 UTC. Default: your period's.")
    billing_cycle_end = DateOrTimeField(required=False, help_text="The first instant after. Default: your period's.")
    at = DateOrTimeField(required=False, help_text="What if the change were made then? Default: now.")
    trial = serializers.BooleanField(default=True, help_text=TRIAL)
    coupon = serializers.CharField(
        max_length=50,
        required=False,
        help_text="What if you redeem this coupon first? Its code; nothing is redeemed. Before you upgrade at such "
        "amounts, redeem it and ask for a new quote.",
    )

    def validate_current_plan(self, code: str) -> Plan:
        plan = Plan.objects.filter(code=code).first()
        if plan is None:
            raise serializers.ValidationError("There is no such plan.")
        return plan


@extend_schema_serializer(examples=[OpenApiExample("Starter to pro, halfway", PREVIEWED)])
class ProrationResponse(serializers.Serializer[Any]):
    prorated_amount = MoneyField(help_text="Charge less discount and credit; below zero where you would be owed.")
    days_remaining = serializers.IntegerField(min_value=0, help_text="Today included.")
    days_total = serializers.IntegerField(min_value=0)
    current_plan_cost = MoneyField()
    target_plan_cost = MoneyField()
    credit_from_current = MoneyField(help_text="Net of the discount that the period was billed with.")
    charge_for_target = MoneyField()
    currency = serializers.CharField()
    direction = serializers.ChoiceField([str(direction) for direction in Direction])
    at = TimeField(help_text="The instant of this quote; send it as `quoted_at` to upgrade at these amounts.")
    trial_ends_at = TimeField(
        allow_null=True, help_text="The change begins a free trial, which ends here. Null: it begins none."
    )
    discount = MoneyField(allow_null=True, help_text="What a coupon takes off the charge. Null: none does.")
    coupon = serializers.CharField(allow_null=True, help_text="The code of that coupon.")
    tax = MoneyField(help_text="On top of the amount, or contained in it where prices include tax.")
    amount_due = MoneyField(
        help_text="What is to be paid, with tax: less the balance as it is now, or more by one that you owe."
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("Now", {"target_plan": "pro"}),
        OpenApiExample("As quoted", {"target_plan": "pro", "quoted_at": PREVIEWED["at"]}),
    ]
)
class UpgradeRequest(_TargetSerializer):
    quoted_at = TimeField(required=False, help_text="The `at` of a preview that is at most 15 minutes old.")
    trial = serializers.BooleanField(default=True, help_text=TRIAL)


@extend_schema_serializer(examples=[OpenApiExample("To pro", UPGRADED), OpenApiExample("On its trial", TRIED)])
class UpgradeResponse(serializers.Serializer[Any]):
    message = serializers.CharField()
    previous_plan = serializers.CharField(allow_null=True, help_text="Null: you had none.")
    current_plan = serializers.CharField()
    prorated_amount = MoneyField(help_text="Before a balance is used; the invoice shows both.")
    currency = serializers.CharField()
    invoice = serializers.CharField(allow_null=True, help_text="Its number. Null: there was nothing to bill.")
    current_period_start = TimeField()
    current_period_end = TimeField()
    trial_ends_at = TimeField(allow_null=True, help_text="Of the free trial that has begun. Null: none has.")
    tax = MoneyField(help_text="On top of the amount, or contained in it where prices include tax.")
    amount_due = MoneyField(help_text="What is still to be paid.")


@extend_schema_serializer(examples=[OpenApiExample("To starter", {"target_plan": "starter"})])
class DowngradeRequest(_TargetSerializer):
    pass


@extend_schema_serializer(examples=[OpenApiExample("To starter", SCHEDULED)])
class DowngradeResponse(serializers.Serializer[Any]):
    message = serializers.CharField()
    current_plan = serializers.CharField()
    target_plan = serializers.CharField()
    effective_date = serializers.DateField(help_text="In UTC.")
    days_until_downgrade = serializers.IntegerField()
