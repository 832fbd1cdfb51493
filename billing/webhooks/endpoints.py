"""Endpoints: made, changed, rotated, pinged, deleted; and dead deliveries sent again. Every door calls these functions.

An `owner` is the account, or None: the operator. Where an address is looked up, no transaction may be open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import QuerySet

from billing.models import WebhookDelivery, WebhookEndpoint, WebhookMessage
from billing.models.webhooks.deliveries import WebhookDeliveryQuerySet
from billing.rules.refused import Refused
from billing.webhooks import addresses, secrets
from billing.webhooks.attempt import Reason, State, disable
from billing.webhooks.bodies import ping as ping_body
from billing.webhooks.consumer import deliver, new_id
from billing.webhooks.types import PING, SUBSCRIBABLE

MOST: Final = 5
"""Endpoints of an account, or of the operator."""
OVERLAP: Final = timedelta(hours=24)
"""So long the former secret signs beside the new one."""
MOST_SENT_AGAIN: Final = 10_000
OPERATORS_LOCK: Final = 0x77656268
"""An advisory lock of PostgreSQL: the operator has no row that all of staff could lock."""


class EndpointRefused(Refused):
    """Nothing was done."""


class TooManyEndpoints(EndpointRefused):
    """Parameter: the `most`."""

    code = "too_many_endpoints"


class TypeUnknown(EndpointRefused):
    """Parameter: the `names` of types that there are not."""

    code = "type_unknown"


class EndpointDisabled(EndpointRefused):
    """Nothing is sent to it before it is enabled."""

    code = "endpoint_disabled"


class DeliveryPending(EndpointRefused):
    """It is being tried anyway."""

    code = "delivery_pending"


class NewEndpoint(NamedTuple):
    endpoint: WebhookEndpoint
    secret: str
    """Shown once; put it into no address, session or log."""


def endpoints_of(owner: int | None) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.filter(account=owner)


def deliveries_of(endpoint: WebhookEndpoint) -> WebhookDeliveryQuerySet:
    rows: WebhookDeliveryQuerySet = WebhookDelivery.objects.filter(endpoint=endpoint)
    return rows.select_related("message")


def check(url: str, types: Iterable[str]) -> None:
    """Raise UrlRefused or TypeUnknown unless an endpoint may have this URL and these types. Looks the host up."""
    if unknown := sorted(set(types) - set(SUBSCRIBABLE)):
        raise TypeUnknown(names=unknown)
    addresses.check(url)


def create(
    owner: int | None, url: str, types: Collection[str], now: datetime, *, by_staff: int | None = None
) -> NewEndpoint:
    """A new endpoint, which the caller has passed to `check`. `by_staff` made the operator's.

    Raises TooManyEndpoints.
    """
    secret = secrets.new()
    with transaction.atomic():
        hold_room(owner)
        row = WebhookEndpoint.objects.create(
            account_id=owner,
            made_by_id=by_staff if owner is None else None,
            url=url,
            types=_in_order(types),
            secret=secrets.encrypted(secret),
            created_at=now,
        )
    return NewEndpoint(row, secret)


def hold_room(owner: int | None) -> None:
    """Raise TooManyEndpoints unless there is room for one more, which nobody else takes until the transaction ends."""
    if owner is not None:
        get_user_model().objects.select_for_update(no_key=True).get(pk=owner)
    else:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [OPERATORS_LOCK])
    if endpoints_of(owner).count() >= MOST:
        raise TooManyEndpoints(most=MOST)


def change(owner: int | None, endpoint: int, now: datetime, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """Set `url` and `types`, which the caller has passed to `check`, and `enabled`. Raises DoesNotExist.

    An endpoint that is enabled begins anew: what it failed before is forgotten, and what is dead stays so until it is
    sent again.
    """
    assert changes.keys() <= {"url", "types", "enabled"}
    with transaction.atomic():
        row = _locked(owner, endpoint)
        if "url" in changes and changes["url"] != row.url:
            row.url, row.failing_since = changes["url"], None
        if "types" in changes:
            row.types = _in_order(changes["types"])
        row.save(update_fields=["url", "types", "failing_since"])
        if changes.get("enabled") is True and not row.is_enabled:
            row.state, row.disabled_reason, row.disabled_at = WebhookEndpoint.State.ENABLED, "", None
            row.failing_since = None
            row.save(update_fields=["state", "disabled_reason", "disabled_at", "failing_since"])
        elif changes.get("enabled") is False:
            disable(row, Reason.OWNER, now)
    return row


def rotate(owner: int | None, endpoint: int, now: datetime) -> NewEndpoint:
    """Another secret. The present one signs, too, for OVERLAP; one of before ends. Raises DoesNotExist."""
    secret = secrets.new()
    with transaction.atomic():
        row = _locked(owner, endpoint)
        row.previous_secret, row.previous_until = row.secret, now + OVERLAP
        row.secret = secrets.encrypted(secret)
        row.save(update_fields=["secret", "previous_secret", "previous_until"])
    return NewEndpoint(row, secret)


def delete(owner: int | None, endpoint: int) -> None:
    """With its deliveries. Raises WebhookEndpoint.DoesNotExist."""
    with transaction.atomic():
        _locked(owner, endpoint).delete()


def ping(owner: int | None, endpoint: int, now: datetime) -> WebhookDelivery:
    """Send a message of type `ping`, whatever types it wants. Raises WebhookEndpoint.DoesNotExist, EndpointDisabled."""
    with transaction.atomic():
        row = _enabled(owner, endpoint)
        body = ping_body(row.pk, owner, now)
        version = int(now.timestamp() * 1000)
        told = WebhookMessage.objects.create(
            id=new_id(), account_id=owner, type=PING, version=version, body=body, created_at=now
        )
        deliver(told, [row], now)
        found: WebhookDelivery = deliveries_of(row).get(message=told)
    return found


def send_again(owner: int | None, endpoint: int, delivery: int, now: datetime) -> WebhookDelivery:
    """Begin the tries of one that has ended anew: the same `webhook-id` and body.

    Raises WebhookEndpoint.DoesNotExist, WebhookDelivery.DoesNotExist, EndpointDisabled, DeliveryPending.
    """
    with transaction.atomic():
        row = _locked(owner, endpoint)
        found: WebhookDelivery = deliveries_of(row).select_for_update(of=("self",)).get(pk=delivery)
        if not row.is_enabled:
            raise EndpointDisabled
        if found.is_pending:
            raise DeliveryPending
        _begin_anew(WebhookDelivery.objects.filter(pk=delivery), now)
        found.refresh_from_db()
    return found


def send_all_again(owner: int | None, endpoint: int, now: datetime) -> int:
    """The same for all that are dead, at most MOST_SENT_AGAIN of them, the oldest first; returns how many.

    Raises WebhookEndpoint.DoesNotExist, EndpointDisabled.
    """
    with transaction.atomic():
        row = _enabled(owner, endpoint)
        dead = WebhookDelivery.objects.dead().filter(endpoint=row).order_by("pk").values_list("pk", flat=True)
        return _begin_anew(WebhookDelivery.objects.filter(pk__in=list(dead[:MOST_SENT_AGAIN])), now)


def _begin_anew(rows: QuerySet[WebhookDelivery], now: datetime) -> int:
    ended = rows.exclude(state=State.PENDING)
    return ended.update(state=State.PENDING, attempts=0, next_try_at=now, ended_at=None)


def _in_order(types: Collection[str]) -> list[str]:
    return [name for name in SUBSCRIBABLE if name in types]


def _enabled(owner: int | None, endpoint: int) -> WebhookEndpoint:
    row = _locked(owner, endpoint)
    if not row.is_enabled:
        raise EndpointDisabled
    return row


def _locked(owner: int | None, endpoint: int) -> WebhookEndpoint:
    return WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint, account=owner)
