"""The request that a proxy describes, and what it is charged for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from django.http import HttpRequest

from billing.catalogue.in_memory import Catalogue
from billing_site.forward_auth.readings import Unreadable, readings
from billing_site.request.charge_headers import USAGE_RUN, in_run
from usage.api.contract import charge_at
from usage.log import events
from usage.metering.call import ChargeRequest

PREFIX: Final = "/api/v1/usage/authorize"
METHOD: Final = ("X-Original-Method", "X-Forwarded-Method")
TARGET: Final = ("X-Original-URI", "X-Forwarded-Uri")
OVERRIDES: Final = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD")
"""Headers by which clients tell some frameworks another method than they send."""
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
AMBIGUOUS: Final = "Servers read this path in several ways, which are charged differently. Send it plainly."


class NotDescribed(ValueError):
    """No request is described, or two are. `header` is where, and the text what is wrong."""

    def __init__(self, header: str, message: str) -> None:
        super().__init__(message)
        self.header = header


@dataclass(frozen=True, slots=True)
class Described:
    """A request as its proxy describes it. `methods` are those that a server may take it for, its own first."""

    methods: tuple[str, ...]
    paths: frozenset[str]
    header: str
    """What is named when the path cannot be decided on."""

    def charge_of(self, request: HttpRequest, catalogue: Catalogue) -> ChargeRequest:
        """What it is charged for; of several readings, what any of them is metered as."""
        features = {charge_at(method, path, catalogue).feature for method in self.methods for path in self.paths}
        features.discard(None)
        if len(features) > 1:
            return ChargeRequest(invalid_key=AMBIGUOUS, invalid_name=self.header)
        if not features:
            return ChargeRequest()
        charge = ChargeRequest(features.pop(), events.AUTHORIZE)
        # Its body is not here, so no loop of the run is seen; the other budgets hold.
        return in_run(request, charge, guarded=False) if USAGE_RUN in request.META else charge


def read(request: HttpRequest, behind: str) -> Described:
    """The request that the headers describe, or the path `behind` that of the door. Raises NotDescribed."""
    methods, targets = _given(request, METHOD), _given(request, TARGET)
    header = next(iter(targets), "path")
    if is_by_path(request, behind):
        methods["method"], targets["path"] = request.method or "", _as_sent(request, behind)
    for names, given in ((METHOD, methods), (TARGET, targets)):
        if len(set(given.values())) > 1:
            raise NotDescribed(next(iter(given)), f"{' and '.join(given)} disagree.")
        if not given:
            raise NotDescribed(names[0], f"It is missing; {names[1]} does as well.")
    method, target = next(iter(methods.values())), next(iter(targets.values()))
    if not TOKEN.fullmatch(method):
        raise NotDescribed(next(iter(methods)), "It is no method.")
    try:
        paths = readings(target)
    except Unreadable as error:
        raise NotDescribed(header, str(error)) from None
    others = (request.META[name].strip() for name in OVERRIDES if name in request.META)
    return Described(tuple(dict.fromkeys(one.upper() for one in (method, *others))), paths, header)


def is_by_path(request: HttpRequest, behind: str) -> bool:
    """Whether the path behind that of the door is the described one; a slash alone may be no more than our own."""
    return behind not in ("", "/") or (behind == "/" and not _given(request, TARGET))


def _given(request: HttpRequest, names: tuple[str, ...]) -> dict[str, str]:
    values = {name: request.META.get(f"HTTP_{name.upper().replace('-', '_')}", "").strip() for name in names}
    return {name: value for name, value in values.items() if value}


def _as_sent(request: HttpRequest, behind: str) -> str:
    """The described target as it came, where the server tells it: Django has decoded its own."""
    raw = request.META.get("RAW_URI") or request.META.get("REQUEST_URI") or ""
    _, found, target = raw.partition(PREFIX)
    return target if found and target.startswith("/") else quote(behind)
