"""One call as it is decided on: what it is to be charged for, what is asked of the limits, and its event."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from django.conf import settings

from billing.bounded_cache import BoundedCache
from billing.entitlements.callers import Caller
from billing.entitlements.snapshots import Snapshot
from billing.rules.entitlements.entitlement import QUOTA, Metered, Stretch, changes_ahead, stretches
from billing.rules.instants import from_ms
from billing.rules.tokens.model_prices import ModelRates
from ratelimit import process_state, reservations
from ratelimit.budgets import Asked
from ratelimit.headers import RateLimitHeaders, WithOverage
from ratelimit.keys import key_digest
from ratelimit.limiter import AdmitCommand, Keyed, Opened
from ratelimit.limits import Limit, Take
from usage.log import events
from usage.log.events import Event
from usage.log.reservation_facts import BUDGETS
from usage.metering.budgets import Bounds, ask, bounds_of

TEMPLATES_REMEMBERED = 5_000
"""They take some 1,600 bytes each."""

LONGEST_RUN_NAME = 64
"""Characters of the name that `Usage-Run` gives an agent's run."""


def names_a_run(name: str) -> bool:
    """Whether it is printable ASCII, and not too long."""
    return 0 < len(name) <= LONGEST_RUN_NAME and name.isascii() and name.isprintable()


class ChargeRequest(NamedTuple):
    """What a call is to be charged for. Without a feature it counts as a request only, and without `counts` as none.

    `fingerprint` tells requests under one Idempotency-Key apart. `invalid_key` says what is wrong with the request's
    header `invalid_name`: it is going to be refused, and only counts as a request. With `expires_in_ms` the charge is
    that of a reservation: the feature's tokens are its bound, by `rates` if it was asked for in units. `run` names the
    run of an agent that it belongs to, and `body_of` reads what the loop guard compares.
    """

    feature: Metered | None = None
    source: str = events.GATEWAY
    metadata: dict[str, Any] | None = None
    idempotency_key: str = ""
    fingerprint: bytes = b""
    invalid_key: str = ""
    counts: bool = True
    expires_in_ms: int = 0
    rates: ModelRates | None = None
    invalid_name: str = "Idempotency-Key"
    run: str = ""
    body_of: Callable[[], bytes] | None = None
    window: tuple[int, int] | None = None
    """Unix seconds: the window that a child's parent was charged to; otherwise the present one."""
    capabilities: tuple[str, ...] = ()
    """What the plan must include beside what the feature needs."""

    def in_run(self, run: str, body_of: Callable[[], bytes] | None = None) -> ChargeRequest:
        """The same as a part of a run, which the log knows by the name in its metadata."""
        named = "run" if self.source == events.RESERVE else events.RUN_NAMED
        metadata = {**(self.metadata or {}), named: run}
        return self._replace(run=run, metadata=metadata, body_of=body_of)


@lru_cache(1_000)  # most accounts have the limits of their plan
def _headers_of(limits: tuple[Limit, ...], included: int | None) -> RateLimitHeaders:
    """`included` where more of the quota is sold than costs nothing extra, else None."""
    return RateLimitHeaders(limits) if included is None else WithOverage(limits, included)


class CallTemplate:
    """What all calls for one feature by one key have in common while a snapshot holds, made once for all of them.

    A feature that the plan lacks takes nothing of any limit. Only a call that is `charged` has an event; those of a
    template differ in id and instant. `ahead` is what the account may do from now on, where more than its usage window
    ends by time alone; else None. `bounds` are the budgets of its key, if it has any.
    """

    __slots__ = (
        "ahead",
        "bounds",
        "charged",
        "command",
        "cost",
        "entitled",
        "frame",
        "headers",
        "sample",
        "snapshot",
        "take",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        feature: Metered | None,
        source: str,
        key_prefix: str,
        counts: bool,
        bounds: Bounds | None = None,
        capabilities: tuple[str, ...] = (),
    ) -> None:
        limits, quota = snapshot.entitlement.limits, snapshot.entitlement.limit(QUOTA)
        assert quota is not None
        self.snapshot = snapshot
        self.bounds = bounds
        self.entitled = snapshot.entitlement.includes_all(feature, capabilities)
        self.charged = feature is not None and self.entitled
        self.cost = feature.tokens if feature is not None and self.entitled else 0
        self.take = Take(int(self.entitled and counts), self.cost)
        self.command = AdmitCommand(snapshot.keys, snapshot.versions, limits)
        entitlement = snapshot.entitlement
        self.headers = _headers_of(limits, entitlement.included if entitlement.overage else None)
        self.ahead = _stretches_ahead(snapshot)
        self.sample = Event(
            charge="",
            kind=events.CHARGE,
            account=snapshot.facts.account,
            window_start=(quota.starts_at_ms or 0) // 1000,
            window_end=quota.ends_at_ms // 1000,
            feature=feature.code if feature is not None else "",
            tokens=self.cost,
            at_ms=0,
            source=source,
            key_prefix=key_prefix,
        )
        self.frame = self.sample.frame()

    def costing(self, tokens: int) -> CallTemplate:
        """The same for a call that takes so many: the bounds of reservations are many."""
        other: CallTemplate = CallTemplate.__new__(CallTemplate)
        other.snapshot, other.command, other.bounds = self.snapshot, self.command, self.bounds
        other.headers, other.ahead, other.frame = self.headers, self.ahead, self.frame
        other.entitled, other.charged = self.entitled, self.charged
        other.cost = tokens if self.entitled else 0
        other.take = Take(self.take.requests, other.cost)
        other.sample = self.sample._replace(tokens=other.cost)  # its frame is not asked for: it has metadata
        return other


def _stretches_ahead(snapshot: Snapshot) -> tuple[Stretch, ...] | None:
    now = from_ms(snapshot.from_ms)
    if not changes_ahead(snapshot.facts, now):
        return None
    return stretches(snapshot.facts, snapshot.catalogue.plans, now)


_templates: BoundedCache[tuple[int, str, str, str, bool, tuple[str, ...]], CallTemplate] = process_state.remember(
    __name__, "_templates", lambda: BoundedCache(TEMPLATES_REMEMBERED)
)


class Call:
    """What is asked about one call. `id` is that of its event, minted before anybody decides."""

    def __init__(
        self, event_id: str, template: CallTemplate, request: ChargeRequest, now_ms: int, caller: Caller
    ) -> None:
        self.id = event_id
        self.caller = caller
        self.template = template
        self.request = request
        self.now_ms = now_ms
        self.keyed: Keyed | None = None
        self.within: Asked | None = None
        self._digest = ""
        if template.bounds is not None:
            feature, run = template.sample.feature, request.run if template.charged else ""
            keys = template.snapshot.keys
            self.within = ask(template.bounds, keys, run, int(request.expires_in_ms > 0), feature, request.body_of)
        if template.charged and request.idempotency_key:
            self._digest = key_digest(request.idempotency_key)
            in_flight_ms = settings.LONGEST_REQUEST_SECONDS * 1000
            self.keyed = Keyed(template.snapshot.keys.record(self._digest), request.fingerprint, in_flight_ms)

    @property
    def snapshot(self) -> Snapshot:
        return self.template.snapshot

    @property
    def limits(self) -> tuple[Limit, ...]:
        return self.template.snapshot.entitlement.limits

    @cached_property
    def event(self) -> Event | None:
        """Made when somebody asks: of most calls nobody does."""
        if not self.template.charged:
            return None
        sample = self.template.sample
        if self.request.window is not None:
            start, end = self.request.window
            sample = sample._replace(window_start=start, window_end=end)
        return sample._replace(
            charge=self.id,
            at_ms=self.now_ms,
            metadata=self._metadata(),
            key=self._digest,
            fingerprint=self.request.fingerprint.decode() if self._digest else "",
        )

    @property
    def opened(self) -> Opened | None:
        """The reservation that it opens, if it does."""
        if not (self.request.expires_in_ms and self.template.charged):
            return None
        return reservations.opened(self.snapshot.facts.account, self.id, self.now_ms + self.request.expires_in_ms)

    def _metadata(self) -> dict[str, Any] | None:
        if not self.request.expires_in_ms:
            return self.request.metadata
        quota = self.snapshot.entitlement.limit(QUOTA)
        facts: dict[str, Any] = {"expires_at": self.now_ms + self.request.expires_in_ms}
        if quota is not None and quota.maximum is not None:
            facts["quota"] = quota.maximum
        if self.template.bounds is not None:
            facts[BUDGETS] = self.template.bounds.of_tokens(of_run=bool(self.request.run))
        return (self.request.metadata or {}) | facts

    def audit(self) -> bytes:
        """The text of its event, empty without one."""
        if self.request.metadata is None and self.keyed is None:
            template = self.template
            return events.framed(template.frame, self.id, self.now_ms) if template.charged else b""
        return self.event.encode() if self.event is not None else b""


def prepare(event_id: str, snapshot: Snapshot, caller: Caller, request: ChargeRequest, now_ms: int) -> Call:
    """The call as the present facts make it."""
    feature, source, key_prefix, counts = request.feature, request.source, caller.key_prefix, request.counts
    name = (
        caller.account,
        feature.code if feature is not None else "",
        source,
        key_prefix,
        counts,
        request.capabilities,
    )
    template = _templates.get(name)
    if (
        template is None
        or template.snapshot is not snapshot
        or (template.bounds is not None and not template.bounds.hold(now_ms))
    ):
        bounds = bounds_of(snapshot, caller, now_ms)
        made = CallTemplate(snapshot, feature, source, key_prefix, counts, bounds, request.capabilities)
        template = _templates.remember(name, made)
    if request.expires_in_ms and feature is not None:
        template = template.costing(feature.tokens)
    return Call(event_id, template, request, now_ms, caller)
