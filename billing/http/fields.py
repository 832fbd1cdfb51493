"""Dates and times as the API takes and gives them: RFC 3339, in UTC, to the microsecond."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.http.problems import MOST_NAMED
from billing.rules.periods import as_utc

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(DATE.pattern + r"[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")
TIME_EXAMPLE = "2025-10-16T12:00:00Z"


def rfc3339(at: datetime) -> str:
    """The instant in UTC. A fraction of a second is kept: sent back, the text names the same instant."""
    return as_utc(at).isoformat().replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """The instant of a text that matches TIME or DATE. Raises ValueError where there is no such time."""
    at = datetime.fromisoformat(text.upper())
    return as_utc(at if at.tzinfo else at.replace(tzinfo=UTC))


@extend_schema_field({"type": "string", "format": "date-time"})
class TimeField(serializers.Field[datetime, Any, str, Any]):
    """A time with its zone."""

    default_error_messages = {
        "invalid": f"Give a time such as {TIME_EXAMPLE}.",
        "no_such_time": "There is no such time.",
    }
    accepted: ClassVar[tuple[re.Pattern[str], ...]] = (TIME,)

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not any(form.fullmatch(data) for form in self.accepted):
            self.fail("invalid")
        try:
            return read_time(data)
        except ValueError:
            self.fail("no_such_time")

    def to_representation(self, value: datetime) -> str:
        return rfc3339(value)


@extend_schema_field({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]})
class DateOrTimeField(TimeField):
    """A date, which means 00:00 UTC, or a time with its zone."""

    default_error_messages = {"invalid": f"Give a date such as 2025-10-16, or a time such as {TIME_EXAMPLE}."}
    accepted = (DATE, TIME)


class StrictDateField(serializers.DateField):
    """A date in the one spelling that the schema has; Python reads others as well, such as 20251016 and 2025-W42."""

    default_error_messages = {"invalid": "Give a date such as 2025-10-16."}

    def to_internal_value(self, value: Any) -> date:
        if not isinstance(value, str) or not DATE.fullmatch(value):
            self.fail("invalid")
        return super().to_internal_value(value)


UNLIMITED = "unlimited"


def refuse_unknown(what: str, unknown: Iterator[str], known: Iterable[str]) -> None:
    """Raise ValidationError that names the first of the unknown; nothing, where there are none."""
    if named := list(islice(unknown, MOST_NAMED + 1)):  # one more than is told, so that the problem says that it is
        message = f"Unknown {what}. Known are: {', '.join(sorted(known)) or 'none'}."
        raise serializers.ValidationError({name: [message] for name in named})


JSON_TYPES: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], type, str], ...] = (
    (serializers.BooleanField, bool, "Must be true or false."),
    (serializers.IntegerField, int, "Must be a whole number."),
    (serializers.CharField, str, "Must be text."),
)
"""What the schema says of a field, which REST framework would also read from text: "false", "10", 5."""


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know, by name, and in JSON a value of another type than the schema has."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            fields = self.fields
            refuse_unknown("field", (str(name) for name in data if name not in fields), fields)
        # A form and a query are text.
        given = data.items() if type(data) is dict else ()
        if wrong := {name: [text] for name, value in given if (text := _wrong_type(fields[name], value))}:
            raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)


class NothingAsked(StrictSerializer):
    """The body of a request that needs none."""


def _wrong_type(field: Any, value: Any) -> str:
    """What to say of a value of another type than the field's; "" of null, of which the field itself decides."""
    for kind, expected, text in JSON_TYPES:
        if isinstance(field, kind):
            fits = value is None or isinstance(value, expected)
            return "" if fits and not (expected is int and isinstance(value, bool)) else text
    return ""


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "enum": [UNLIMITED]}]})
class NumberOrUnlimited(serializers.Field[Any, Any, Any, Any]):
    """A number, or "unlimited" where the value is None."""

    def get_attribute(self, instance: Any) -> Any:
        # A serializer does not ask `to_representation` for None.
        value = super().get_attribute(instance)
        return UNLIMITED if value is None else value

    def to_representation(self, value: int | str) -> int | str:
        return value


@extend_schema_field(OpenApiTypes.NUMBER)
class MoneyField(serializers.Field[Any, Any, Any, Any]):
    """An amount as a JSON number. The value has its currency's decimals already (rules.money.in_currency)."""

    def to_representation(self, value: Any) -> Any:
        return value
