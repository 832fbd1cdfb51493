"""What views say of themselves in the OpenAPI document beyond their serializers; billing_site.openapi adds the rest."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from billing.http.error_codes import ERRORS
from billing.http.problems import MEDIA_TYPE

METERED: Final = {"x-metered": True}
"""Extension of an operation that spends a feature's tokens."""

IDEMPOTENT: Final = {"x-idempotent": True}
"""Extension of an operation whose first success under an Idempotency-Key is stored and returned again."""

USAGE_RUN: Final = OpenApiParameter(
    "Usage-Run",
    {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[\x20-\x7e]+$"},
    OpenApiParameter.HEADER,
    description="The run of an agent that the call belongs to, 1 to 64 printable ASCII characters. The budgets of "
    "a run, where the key has any, hold for all calls that name it.",
)

JSON_RPC: Final = {"x-json-rpc": True}
"""Extension of an operation that tells problems as JSON-RPC errors; its view describes all of them."""

IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
    OpenApiParameter.HEADER,
    description="Printable ASCII; remembered for 24 hours for your account. The same request sent again under its key "
    "is not charged or done again.",
)


def problem(status: int | str, *codes: str, **members: Any) -> dict[tuple[int | str, str], OpenApiResponse]:
    """An entry of `responses` for a problem that the view itself raises, beside those that every operation has.

    `codes` are the codes it may have (none given: any), `members` the JSON schemas of what it carries beyond the
    common members. Such entries are joined with `|`.
    """
    schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
    if codes or members:
        properties = {"code": {"enum": list(codes)}, **members} if codes else members
        schema = {"type": "object", "allOf": [schema], "properties": properties}
        if members:
            schema["required"] = list(members)
    return {(status, MEDIA_TYPE): OpenApiResponse(schema, description=_meanings(codes))}


def either(*problems: dict[tuple[int | str, str], OpenApiResponse]) -> dict[tuple[int | str, str], OpenApiResponse]:
    """Problems of one status that carry different members."""
    (key,) = {key for one in problems for key in one}
    described = "\n".join(str(one[key].description) for one in problems if one[key].description)
    return {key: OpenApiResponse({"anyOf": [one[key].response for one in problems]}, description=described)}


def _meanings(codes: tuple[str, ...]) -> str:
    """A host product's codes have none here."""
    return "\n".join(f"`{code}`: {ERRORS[code].meaning}" for code in codes if code in ERRORS)
