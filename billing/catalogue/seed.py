"""The catalogue a new installation starts with; from then on its rows belong to the staff who edit them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from billing.models import Capability, Feature, ModelPrice, Plan, Route


@dataclass(frozen=True)
class _Plan:
    code: str
    price: int
    monthly_token_quota: int | None
    requests_per_minute: int | None
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class _Feature:
    code: str
    tokens: int
    capability: str
    path: str


@dataclass(frozen=True)
class _Model:
    """Rates of 1,000 units, in thousandths of a token."""

    name: str
    feature: str
    input: int
    cache_read: int
    cache_write: int
    output: int


CURRENCY = "USD"
DEFAULT_PLAN = "community"
CAPABILITIES = {"investigator": "Investigator", "correlation": "Correlation", "ai_agents": "AI agents"}
ALL = tuple(CAPABILITIES)
PLANS = (
    _Plan("community", 0, 100, 10, ()),
    _Plan("starter", 29, 500, 30, ("investigator",)),
    _Plan("pro", 49, None, 100, ("investigator", "correlation")),
    _Plan("business", 99, None, 200, ALL),
    _Plan("plus", 199, None, 500, ALL),
    _Plan("enterprise", 499, None, None, ALL),
)
FEATURES = (
    _Feature("trace_start", 10, "", "/api/v1/trace/start"),
    _Feature("trace_expand", 5, "", "/api/v1/trace/expand"),
    _Feature("graph_query", 3, "investigator", "/api/v1/graph/nodes"),
    _Feature("pattern_detection", 8, "correlation", "/api/v1/patterns/detect"),
    _Feature("ai_agent_query", 5, "ai_agents", "/api/v1/agent/query"),
    _Feature("risk_score", 2, "", "/api/v1/risk/score"),
    _Feature("wallet_scan", 7, "", "/api/v1/wallet-scanner/scan"),
    _Feature("report_generate", 4, "", "/api/v1/reports/generate"),
)
MODELS = (
    _Model("m-small", "ai_agent_query", 200, 20, 250, 800),
    _Model("m-large", "ai_agent_query", 2_000, 100, 2_500, 8_000),
)
RANK_STEP = 10
"""Between two plans, so that another one fits in without renumbering."""


@dataclass
class Seeded:
    """How many rows were missing and have been made."""

    capabilities: int = 0
    plans: int = 0
    features: int = 0
    routes: int = 0
    models: int = 0


def seed(now: datetime) -> Seeded:
    """Make what is missing, by code. A row that exists is left as it is, and so are its capabilities and routes."""
    made = Seeded()
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Two commands at once: the second waits, and then finds nothing missing.
            cursor.execute(f"LOCK TABLE {Plan._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")
        capabilities = {}
        for code, name in CAPABILITIES.items():
            capabilities[code], new = Capability.objects.get_or_create(code=code, defaults={"name": name})
            made.capabilities += new
        for position, plan in enumerate(PLANS):
            if not Plan.objects.filter(code=plan.code).exists():
                _sell(plan, position * RANK_STEP, [capabilities[code] for code in plan.capabilities], now)
                made.plans += 1
        for feature in FEATURES:
            if not Feature.objects.filter(code=feature.code).exists():
                made.features += 1
                made.routes += _meter(feature, capabilities.get(feature.capability), now)
        for model in MODELS:
            if not ModelPrice.objects.filter(model=model.name, feature__code=model.feature).exists():
                _price(model, now)
                made.models += 1
    return made


def _sell(plan: _Plan, rank: int, capabilities: list[Capability], now: datetime) -> None:
    row = Plan(
        code=plan.code,
        name=plan.code.capitalize(),
        rank=rank,
        price=Decimal(plan.price),
        currency=CURRENCY,
        monthly_token_quota=plan.monthly_token_quota,
        requests_per_minute=plan.requests_per_minute,
        is_default=plan.code == DEFAULT_PLAN and Plan.objects.default() is None,
        created_at=now,
    )
    row.save()
    row.capabilities.set(capabilities)


def _meter(feature: _Feature, capability: Capability | None, now: datetime) -> bool:
    """Whether the path was still free: where staff have given it to another feature, it stays there."""
    name = feature.code.replace("_", " ").capitalize().replace("Ai ", "AI ")
    row = Feature(code=feature.code, name=name, tokens=feature.tokens, capability=capability, created_at=now)
    row.save()
    if Route.objects.filter(path=feature.path, method=Route.Method.ANY).exists():
        return False
    Route(path=feature.path, feature=row).save()
    return True


def _price(model: _Model, now: datetime) -> None:
    ModelPrice(
        model=model.name,
        feature=Feature.objects.get(code=model.feature),
        input=model.input,
        cache_read=model.cache_read,
        cache_write=model.cache_write,
        output=model.output,
        valid_from=now,
    ).save()
