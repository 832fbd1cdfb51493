"""The catalogue as each worker remembers it, until its fence says stale."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from datetime import datetime
from functools import cached_property

from django.conf import settings
from django.db import InterfaceError, OperationalError

from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from billing.models import Feature, ModelPrice, Plan, Route
from billing.models.catalogue.features import normalised_path
from billing.models.entitlements.budgets import terms_of
from billing.postgres.guard import waiting_for_postgres
from billing.rules.entitlements.entitlement import Metered
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.routes import ParameterRoutes, has_parameters, why_no_route
from billing.rules.tokens.model_prices import ModelRates
from ratelimit import process_state

logger = logging.getLogger(__name__)


Prices = dict[tuple[str, str], "list[tuple[datetime, ModelRates | None]]"]
"""By feature and model, the earliest first: from when which rates hold. None: it is off sale from then on."""


class Catalogue:
    """Plans, features, routes and prices of models at one version."""

    def __init__(
        self,
        version: int,
        plans: dict[str, PlanOffer],
        features: dict[str, Metered],
        routes: dict[tuple[str, str], str],
        prices: Prices | None = None,
    ) -> None:
        self.version = version
        self.plans = plans
        self.features = features
        self._prices = prices or {}
        self._routes = {route: code for route, code in routes.items() if not has_parameters(route[0])}
        with_parameters = {route: code for route, code in routes.items() if has_parameters(route[0])}
        self._parameter_routes = ParameterRoutes(with_parameters) if with_parameters else None

    @cached_property
    def version_text(self) -> bytes:
        return str(self.version).encode()

    def feature_at(self, method: str, path: str) -> Metered | None:
        """What a request is metered as: the longest routed prefix of the normalised path; HEAD counts as GET.

        Of two routes as long, the one without parameters; of one path, the one with the method.
        """
        method = "GET" if method == "HEAD" else method
        prefix = path
        while prefix:
            code = self._routes.get((prefix, method)) or self._routes.get((prefix, ""))
            if code is None and self._parameter_routes is not None:
                code = self._parameter_routes.feature_at(method, prefix)
            if code is not None:
                return self.features[code]
            prefix = prefix.rpartition("/")[0]
        return None

    def rates(self, feature: str, model: str, at: datetime) -> ModelRates | None:
        """The price of a model at a feature that holds at an instant; None where the model is not sold there."""
        found = None
        for valid_from, rates in self._prices.get((feature, model), ()):
            if valid_from > at:
                break
            found = rates
        return found


_catalogue: Catalogue | None = process_state.remember(__name__, "_catalogue", lambda: None)


_catalogue_lock = process_state.remember(__name__, "_catalogue_lock", threading.Lock)


_catalogue_checked = process_state.remember(__name__, "_catalogue_checked", float)


RECENT_SECONDS = 1.0


def catalogue() -> Catalogue:
    return _catalogue or reload_catalogue(0)


def recent_catalogue() -> Catalogue:
    """The catalogue, compared with PostgreSQL's once a second: for requests that do not ask the fence.

    While PostgreSQL is out of reach it is the one that is known.
    """
    global _catalogue_checked  # noqa: PLW0603
    present = catalogue()
    if time.monotonic() - _catalogue_checked > RECENT_SECONDS:
        _catalogue_checked = time.monotonic()
        with suppress(OperationalError, InterfaceError):
            return reload_catalogue(fence_version(CATALOGUE))
    return present


def reload_catalogue(at_least: int) -> Catalogue:
    """The catalogue, read anew unless this process knows that version or a later one."""
    global _catalogue  # noqa: PLW0603 - one catalogue a process is the point
    with waiting_for_postgres(), _catalogue_lock:
        if _catalogue is None or _catalogue.version < at_least:
            _catalogue = _read_catalogue()
        return _catalogue


def _read_catalogue() -> Catalogue:
    version = fence_version(CATALOGUE)
    rows = Plan.objects.select_related("key_budget").prefetch_related("capabilities")
    plans = {plan.code: offer(plan) for plan in rows}
    features = {
        feature.code: Metered(feature.code, feature.tokens, feature.capability.code if feature.capability else "")
        for feature in Feature.objects.select_related("capability")
    }
    return Catalogue(version, plans, features, _read_routes(features), _read_prices())


def _read_prices() -> Prices:
    prices: Prices = {}
    for row in ModelPrice.objects.select_related("feature").order_by("valid_from"):
        prices.setdefault((row.feature.code, row.model), []).append(
            (row.valid_from, row.rates if row.is_on_sale else None)
        )
    return prices


def _read_routes(features: dict[str, Metered]) -> dict[tuple[str, str], str]:
    """Features' codes by path and method. A row that the form would refuse is left out: it may lock everybody out."""
    routes = {}
    for route in Route.objects.select_related("feature"):
        path = normalised_path(route.path)
        if reason := why_no_route(path, settings.OWN_PATHS):
            logger.warning("the route %s is left out. %s", route, reason)
        elif route.feature.code in features:
            routes[path, route.method] = route.feature.code
    return routes


def offer(plan: Plan) -> PlanOffer:
    """A plan's row as the rules know it."""
    return PlanOffer(
        terms=plan.terms,
        name=plan.name,
        monthly_token_quota=plan.monthly_token_quota,
        requests_per_minute=plan.requests_per_minute,
        capabilities=frozenset(plan.capability_codes()),
        quota_window=plan.quota_window,
        archived=not plan.is_on_sale,
        is_default=plan.is_default,
        overage_price=plan.overage_price,
        overage_cap_tokens=plan.overage_cap_tokens,
        key_budgets=terms_of(plan),
    )
