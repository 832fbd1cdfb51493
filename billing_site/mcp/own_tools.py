"""Tools that tell an agent where its account stands and what things cost. They change nothing and take no tokens.

Each asks the function that the HTTP view asks. None shows keys, cards, addresses or other people's words, and none
pays or changes a plan: an upgrade is a person's, at `upgrade_url`.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from billing.api.catalogue_serializers import FeatureSerializer, PlanSerializer
from billing.api.documents.document_serializers import InvoiceSerializer
from billing.api.documents.document_views import issued_to
from billing.api.subscriptions.account_views import subscription_at
from billing.api.subscriptions.plan_change_views import preview
from billing.models import Feature, ModelPrice, Plan
from billing.rules.tokens import model_prices
from billing.subscriptions.offers import Offers
from billing_site.mcp.meter_tools import UNITS_SCHEMA
from billing_site.mcp.tools import ToolFailed, tool
from billing_site.request.refusals import UPGRADE_URL
from usage.api.contract import admission_of, caller_of
from usage.api.report_views import current_breakdown
from usage.api.reservation_sentences import problems
from usage.api.views import check_feature, current_usage

CODE: Final = {"type": "string", "minLength": 1, "maxLength": 50}
MOST_INVOICES: Final = 50
OF_AN_INVOICE: Final = (
    *("number", "issued_at", "due_at", "status", "currency", "lines"),
    *("net", "tax", "gross", "total", "amount_due"),
)
"""Figures only: no names, addresses or references of payments."""


@tool()
def get_usage(request: HttpRequest) -> dict[str, Any]:
    """Tokens used and left in the present window, when it ends, and the plan."""
    return current_usage(admission_of(request))


@tool()
def get_breakdown(request: HttpRequest) -> dict[str, Any]:
    """Tokens by feature in the present window, and their total."""
    return dict(current_breakdown(admission_of(request)))


@tool()
def list_plans(request: HttpRequest) -> dict[str, Any]:
    """The plans on sale: price, quota of tokens, requests per minute, capabilities, and whether you can get each."""
    offers = Offers(caller_of(request).account, timezone.now())
    plans = Plan.objects.on_sale().prefetch_related("capabilities")
    return {"plans": PlanSerializer(plans, many=True, context={"offers": offers}).data, "upgrade_url": UPGRADE_URL}


@tool()
def list_features(request: HttpRequest) -> dict[str, Any]:
    """What is metered: the tokens of one call of each feature, and the capability that a plan needs for it."""
    features = Feature.objects.select_related("capability").prefetch_related("routes").order_by("code")
    return {"features": FeatureSerializer(features, many=True).data}


@tool()
def get_subscription(request: HttpRequest) -> dict[str, Any]:
    """The plan in force, its period and price, the next invoice, and what was scheduled."""
    return subscription_at(caller_of(request).account, timezone.now())


@tool({"most": {"type": "integer", "minimum": 1, "maximum": MOST_INVOICES}})
def list_invoices(request: HttpRequest, most: int = 10) -> dict[str, Any]:
    """The newest invoices with their lines: what was billed and what is due."""
    invoices = issued_to(caller_of(request).account).order_by("-issued_at", "-pk")[:most]
    shown = InvoiceSerializer(invoices, many=True, context={"request": request}).data
    return {"invoices": [{name: invoice[name] for name in OF_AN_INVOICE} for invoice in shown]}


@tool({"model": {"type": "string", "minLength": 1, "maxLength": 100}, "units": UNITS_SCHEMA})
def estimate_cost(request: HttpRequest, model: str, units: dict[str, int]) -> dict[str, Any]:
    """What so many units of a model cost in tokens, by each feature at which it is sold now."""
    catalogue, now = admission_of(request).snapshot.catalogue, timezone.now()
    prices = {code: catalogue.rates(code, model, now) for code in sorted(catalogue.features)}
    with problems():
        costs = {code: model_prices.cost(rates, units) for code, rates in prices.items() if rates is not None}
    if not costs:
        sold = ModelPrice.objects.sold(now).values_list("model", flat=True)
        raise ToolFailed(f"No price of this model holds now. Sold are: {', '.join(sorted(set(sold))) or 'none'}.")
    return {"model": model, "tokens": costs}


@tool({"feature": CODE})
def check(request: HttpRequest, feature: str) -> dict[str, Any]:
    """Whether a call of the feature would be admitted now, what it costs, and when it would pass."""
    return check_feature(feature, admission_of(request))


@tool({"plan": CODE})
def preview_change(request: HttpRequest, plan: str) -> dict[str, Any]:
    """What a change to the plan would cost now. It changes nothing: a person changes the plan at `upgrade_url`."""
    previewed = preview(caller_of(request).account, {"target_plan": plan}, timezone.now())
    return previewed | {"upgrade_url": UPGRADE_URL}
