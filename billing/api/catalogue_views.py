"""The catalogue, open to everybody."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.catalogue_serializers import FeatureSerializer, ModelPriceSerializer, PlanSerializer
from billing.http.access import PUBLIC
from billing.http.pagination import NewestFirst
from billing.http.views import ApiView, account_of
from billing.models import Feature, ModelPrice, Plan
from billing.subscriptions.offers import Offers


def offered_to(request: Request) -> dict[str, Offers]:
    """For a serializer's context: what the caller is offered, where the caller is known."""
    return {} if request.auth is None else {"offers": Offers(account_of(request), timezone.now())}


class CataloguePages(NewestFirst):
    """Newest first; what was made at one instant, as the default catalogue is, from the lowest plan up."""

    ordering = ("-created_at", "rank", "pk")


class FeaturePages(NewestFirst):
    ordering = ("-created_at", "pk")


class ModelPages(NewestFirst):
    ordering = ("-valid_from", "pk")


@extend_schema_view(get=extend_schema("listPlans"))
class PlanList(ApiView, ListAPIView[Plan]):
    """The plans on sale."""

    access = PUBLIC
    query_fields = frozenset({"cursor", "limit"})
    serializer_class = PlanSerializer
    pagination_class = CataloguePages

    def get_queryset(self) -> QuerySet[Plan]:
        return Plan.objects.on_sale().prefetch_related("capabilities")

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), **offered_to(self.request)}


class PlanDetail(ApiView):
    """One plan; also an archived one, which subscribers may still be on."""

    access = PUBLIC

    @extend_schema("getPlan", responses=PlanSerializer)
    def get(self, request: Request, code: str, **_: Any) -> Response:
        plan = get_object_or_404(Plan, code=code)
        return Response(PlanSerializer(plan, context=offered_to(request)).data)


@extend_schema_view(get=extend_schema("listFeatures"))
class FeatureList(ApiView, ListAPIView[Feature]):
    """What is metered, what it costs, and where."""

    access = PUBLIC
    query_fields = frozenset({"cursor", "limit"})
    serializer_class = FeatureSerializer
    pagination_class = FeaturePages

    def get_queryset(self) -> QuerySet[Feature]:
        return Feature.objects.select_related("capability").prefetch_related("routes")


@extend_schema_view(get=extend_schema("listModels"))
class ModelList(ApiView, ListAPIView[ModelPrice]):
    """The models that are sold by their units, at the prices that hold now.

    A call costs the sum of its units at their rates, and the fixed part, rounded up once to whole tokens.
    """

    access = PUBLIC
    query_fields = frozenset({"cursor", "limit"})
    serializer_class = ModelPriceSerializer
    pagination_class = ModelPages

    def get_queryset(self) -> QuerySet[ModelPrice]:
        return ModelPrice.objects.sold(timezone.now()).select_related("feature")
