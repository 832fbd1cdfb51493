"""How invoices name a customer: billing details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError as NotValid
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import vat_ids
from billing.api.domain_problems import asked
from billing.http.fields import StrictSerializer
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT
from billing.http.views import ApiView, account_of
from billing.models import BillingDetails

GIVEN = {
    "name": "Bob Ltd",
    "address": "1 High Street\nFloor 2",
    "city": "Dublin",
    "postcode": "D02 X285",
    "country": "IE",
    "vat_id": "IE6433435F",
}
NAMES = tuple(GIVEN)


@extend_schema_serializer(examples=[OpenApiExample("A company in Ireland", GIVEN)])
class DetailsRequest(StrictSerializer):
    name = serializers.CharField(max_length=200)
    address = serializers.CharField(
        max_length=500, required=False, allow_blank=True, default="", help_text="Street and number, in lines."
    )
    city = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    postcode = serializers.CharField(max_length=20, required=False, allow_blank=True, default="")
    country = serializers.CharField(max_length=2, help_text="ISO 3166-1 alpha-2, such as DE. It decides about tax.")
    vat_id = serializers.CharField(
        max_length=2 * vat_ids.LONGEST,
        required=False,
        allow_blank=True,
        default="",
        help_text="Checked by the country's rule, and kept without spaces; in the EU with its prefix.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        details = BillingDetails(**attrs)
        try:
            details.clean()
            details.clean_fields(exclude=["account"])
        except NotValid as error:
            raise serializers.ValidationError(error.message_dict) from None
        return {name: getattr(details, name) for name in NAMES}


@extend_schema_serializer(examples=[OpenApiExample("A company in Ireland", GIVEN)])
class DetailsResponse(serializers.Serializer[Any]):
    """Each "" until it is given."""

    name = serializers.CharField()
    address = serializers.CharField()
    city = serializers.CharField()
    postcode = serializers.CharField()
    country = serializers.CharField()
    vat_id = serializers.CharField()


class Details(ApiView):
    """How invoices name you, and what decides about your tax. Invoices that were issued stay as they are."""

    @extend_schema("getBillingDetails", responses=DetailsResponse)
    def get(self, request: Request, **_: Any) -> Response:
        details = BillingDetails.objects.filter(account=account_of(request)).first()
        return Response(DetailsResponse(details or BillingDetails()).data)

    @extend_schema("putBillingDetails", extensions=IDEMPOTENT, request=DetailsRequest, responses=DetailsResponse)
    def put(self, request: Request, **_: Any) -> HttpResponseBase:
        """Replace your billing details, from the next invoice on."""
        now = timezone.now()
        return idempotent(request, now, lambda: _replace(request))


def _replace(request: Request) -> Callable[[], Response]:
    given = asked(DetailsRequest, request)

    def change() -> Response:
        details, _ = BillingDetails.objects.update_or_create(account_id=account_of(request), defaults=given)
        return Response(DetailsResponse(details).data)

    return change
