"""Any list as CSV: all that is filtered, in the columns of the list, streamed; the admin's log says who took it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import label_for_field, lookup_field
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from billing.rules.money import in_currency

CHUNK = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet takes a text for a formula, and runs what a customer has written."""

NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")
"""What is owed back is no formula."""


class _Line:
    def write(self, text: str) -> str:
        return text


def as_csv(request: HttpRequest, changelist: Any) -> StreamingHttpResponse:
    """The rows of a list, whatever page of it is open. The permission is the list's own."""
    _log(request, changelist)
    lines = csv.writer(_Line())
    response = StreamingHttpResponse(
        (lines.writerow(row) for row in _rows(changelist)), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{changelist.opts.model_name}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def _rows(changelist: Any) -> Iterator[Iterable[Any]]:
    site = changelist.model_admin
    names = [name for name in changelist.list_display if name != "action_checkbox"]
    raw = getattr(site, "exported", ())
    shown = [str(label_for_field(name, changelist.model, site)) for name in names]
    yield [*shown, *(_name(path, shown) for path in raw)]
    for row in changelist.queryset.iterator(chunk_size=CHUNK):
        yield [*(_shown(name, row, site) for name in names), *(_cell(_raw(row, path, site)) for path in raw)]


def _name(path: str, taken: list[str]) -> str:
    """Of a column beside the list's own: each name stands once."""
    name = path.rpartition("__")[2]
    return f"raw {name}" if name in taken else name


def _shown(name: str, row: Any, site: Any) -> Any:
    try:
        field, _, value = lookup_field(name, row, site)
    except ObjectDoesNotExist:
        return ""
    if field is not None and getattr(field, "flatchoices", None):
        value = dict(field.flatchoices).get(value, value)
    elif field is not None and field.is_relation:
        value = getattr(row, field.name)
    return _cell(value)


def _raw(row: Any, path: str, site: Any) -> Any:
    """Amounts with the decimals of their currency."""
    value = _followed(row, path)
    return f"{in_currency(value, _followed(row, site.currency_path)):f}" if isinstance(value, Decimal) else value


def _followed(row: Any, path: str) -> Any:
    for name in path.split("__"):
        row = getattr(row, name, None)
    return row


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, int):
        return value
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    # What the list draws as a link or in a colour; what people have written stays as it is.
    text = unescape(strip_tags(value)) if isinstance(value, SafeString) else str(value)
    text = text.replace("\N{NO-BREAK SPACE}", " ").replace("\0", "")
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def _log(request: HttpRequest, changelist: Any) -> None:
    """Names of filters, and no term that was searched for: that may be a person's name."""
    filtered = ", ".join(sorted(name for name in changelist.filter_params if name != SEARCH_VAR)) or "nothing"
    searched = ", searched" if changelist.query else ""
    LogEntry.objects.create(
        user_id=int(request.user.pk or 0),
        content_type=ContentType.objects.get_for_model(changelist.model, for_concrete_model=False),
        object_id=None,
        object_repr=f"List of {changelist.opts.verbose_name_plural}",
        action_flag=CHANGE,
        change_message=f"Exported as CSV, filtered by {filtered}{searched}.",
    )
