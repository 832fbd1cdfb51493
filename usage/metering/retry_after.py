"""How long until a call would pass: the truth behind Retry-After, its body and `t=`.

Whatever changes a limit at an instant (an override, a top-up, a scheduled plan, the window's end) begins a new stretch
of time, and a call passes at the first instant at which the limits of its stretch have room for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from redis.exceptions import ResponseError

from billing.rules.entitlements.entitlement import MINUTE, Entitlement, Metered, stretches
from ratelimit import limiter
from ratelimit.limiter import AdmitCommand, StaleFacts
from ratelimit.limits import MINUTE_MS, Limit, Standing, Take, whole_seconds
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.metering import fallback
from usage.metering.admission import Admission

UNLIMITED_MINUTE = Standing(Limit(MINUTE, None, MINUTE_MS), 0, 0)


def longest_wait(admission: Admission, standings: Sequence[Standing], feature: Metered | None) -> Standing:
    """The standing to wait longest for before a call of the feature passes it; of two alike it is the quota."""
    waits = [_wait_ms(admission, [(standing, _amount(standing, feature))], feature) for standing in standings]
    return standings[max(range(len(waits)), key=lambda i: (waits[i] is None, waits[i] or 0, i))]


def wait_to_pass(admission: Admission, feature: Metered | None) -> int | None:
    """Milliseconds until a call of the feature passes every limit; 0: it would pass now. None: waiting cannot help.

    Rounded up to whole seconds it is true as well.
    """
    standings = [admission.minute or UNLIMITED_MINUTE, admission.quota]
    return _wait_ms(admission, [(standing, _amount(standing, feature)) for standing in standings], feature)


def waits_for_more(admission: Admission) -> list[int | None]:
    """Of each standing, milliseconds until more is available; where it has refused the call, until that one passes."""
    feature, waits = admission.request.feature, []
    for standing in admission.standings:
        refused = standing.limit in admission.decision.violated
        amount = _amount(standing, feature) if refused else (standing.remaining or 0) + 1
        wait_ms = _wait_ms(admission, [(standing, amount)], feature if refused else None)
        is_unused_minute = standing.limit.name == MINUTE and not standing.used
        if standing.limit.maximum and not refused and (wait_ms is None or is_unused_minute):
            wait_ms = standing.wait_ms
        waits.append(wait_ms)
    return waits


def _amount(standing: Standing, feature: Metered | None) -> int:
    if standing.limit.name == MINUTE:
        return 1
    return feature.tokens if feature is not None else 0


def _wait_ms(admission: Admission, wanted: Sequence[tuple[Standing, int]], feature: Metered | None) -> int | None:
    """Milliseconds until all that is wanted of the standings is there, and the plan includes the feature."""
    now_ms, facts, plans = admission.decision.now_ms, admission.snapshot.facts, admission.snapshot.catalogue.plans
    ahead = admission.call.template.ahead or stretches(facts, plans, admission.decided_at)
    for begins_ms, ends_ms, entitlement in ahead:
        if feature is not None and not entitlement.includes(feature):
            continue
        ready = [_ready_ms(admission, standing, amount, begins_ms, entitlement) for standing, amount in wanted]
        known = [at for at in ready if at is not None]
        if len(known) < len(ready):
            continue
        wait_ms = max(begins_ms, now_ms, *known) - now_ms
        # Clients wait whole seconds, and by then the stretch must not have ended.
        if ends_ms is None or now_ms + 1000 * whole_seconds(wait_ms) < ends_ms:
            return wait_ms
    return None


def _ready_ms(
    admission: Admission, standing: Standing, amount: int, begins_ms: int, entitlement: Entitlement
) -> int | None:
    """From when on the standing has room for the amount under the entitlement of a stretch; None: never."""
    if standing.limit.name == MINUTE:
        return _minute_ready_ms(admission, standing, amount, begins_ms, entitlement.requests_per_minute)
    is_present = entitlement.window.start == admission.snapshot.entitlement.window.start
    used = standing.used if is_present else 0
    return begins_ms if not amount or entitlement.quota is None or used + amount <= entitlement.quota else None


def _minute_ready_ms(
    admission: Admission, standing: Standing, amount: int, begins_ms: int, maximum: int | None
) -> int | None:
    now_ms = admission.decision.now_ms
    if maximum is None:
        return now_ms
    if maximum < amount:
        return None
    if standing.limit.maximum == maximum:
        return now_ms + (0 if standing.admits(amount) else standing.wait_ms or 0)
    if begins_ms >= now_ms + MINUTE_MS:
        return begins_ms  # all that counts now has left by then
    then = _minute_under(admission, standing.limit._replace(maximum=maximum))
    if then is None or (amount > 1 and not then.admits(amount)):
        return now_ms + MINUTE_MS  # which is always enough
    return now_ms + (then.wait_for_ms(amount) or 0)


def _minute_under(admission: Admission, minute: Limit) -> Standing | None:
    """How the account stands against a minute of another maximum, without costing it a request; None: unknown."""
    call = admission.call
    if not admission.by_redis:
        return fallback.minute_standing(call.snapshot.facts.account, minute, admission.decision.now_ms)
    command = AdmitCommand(call.snapshot.keys, call.snapshot.versions, (minute, admission.quota.limit))
    now_ms = call.now_ms if settings.RATELIMIT_CLOCK == "process" else None
    try:
        answer = limiter.admit(store(), command, Take(), charged_at_ms=call.now_ms, event="", now_ms=now_ms)
    except (RedisUnreachable, ResponseError):
        return None
    if isinstance(answer, StaleFacts) or not answer.standings:
        return None
    (then, _) = answer.standings
    wait_ms = None if then.wait_ms is None else then.wait_ms + answer.now_ms - admission.decision.now_ms
    return then._replace(wait_ms=wait_ms)
