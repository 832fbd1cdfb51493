"""Reported events as they are sent: plain ones, and CloudEvents. Each is read by itself, and a fault is a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from billing.http.fields import TIME, TIME_EXAMPLE, read_time
from billing.rules.instants import to_ms
from usage.ingest.reported import LARGEST_ACCOUNT, LONGEST_NAME, Reported
from usage.log.events import RUN_NAMED
from usage.log.metadata import fault_of

FIELDS = ("account", "feature", "id", "metadata", "time")
LONGEST_SHOWN = 50
SPEC_VERSION = "1.0"


class Unreadable(NamedTuple):
    """An event that cannot be read: its id, where it has one, and why."""

    id: str | None
    why: str


class _Fault(Exception):
    """A sentence about one event."""


def read_plain(event: Any, own: int, now_ms: int) -> Reported | Unreadable:
    """An event as `/usage/events` documents it; `own` is the account of an event that names none."""
    try:
        if unknown := sorted(_object(event).keys() - FIELDS):
            raise _Fault(f"Unknown field {_shown(unknown[0])}. Known are: {', '.join(FIELDS)}.")
        return _read(event, source="", account=event.get("account", own), names=PLAIN_NAMES, now_ms=now_ms)
    except _Fault as fault:
        return Unreadable(_id_of(event), str(fault))


def read_cloud_event(event: Any, own: int, now_ms: int) -> Reported | Unreadable:
    """A CloudEvent in JSON: its subject is the account, its type the feature, its data the metadata.

    Further attributes are the sender's own, and are not kept.
    """
    try:
        if _object(event).get("specversion") != SPEC_VERSION:
            raise _Fault(f"specversion: Give {SPEC_VERSION}.")
        if "data_base64" in event:
            raise _Fault("data_base64: Give `data`, a JSON object.")
        source = _name(event, "source")
        return _read(event, source=source, account=event.get("subject", own), names=CLOUD_NAMES, now_ms=now_ms)
    except _Fault as fault:
        return Unreadable(_id_of(event), str(fault))


PLAIN_NAMES = {"account": "account", "feature": "feature", "metadata": "metadata"}
CLOUD_NAMES = {"account": "subject", "feature": "type", "metadata": "data"}
"""What each is called in the two forms."""


def _read(event: dict[str, Any], *, source: str, account: Any, names: Mapping[str, str], now_ms: int) -> Reported:
    sent_id, feature = _name(event, "id"), event.get(names["feature"])
    if not isinstance(feature, str) or not feature:
        raise _Fault(f"{names['feature']}: Give a feature's code.")
    metadata = event.get(names["metadata"])
    if names["metadata"] in event and (fault := _fault_of(metadata)):
        raise _Fault(f"{names['metadata']}: {fault}")
    at_ms = _time(event["time"]) if "time" in event else now_ms
    return Reported(_account(account, names["account"]), source, sent_id, feature, at_ms, metadata)


def _object(event: Any) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise _Fault("An event is a JSON object.")
    return event


def _name(event: dict[str, Any], field: str) -> str:
    value = event.get(field)
    if not _is_name(value):
        raise _Fault(f"{field}: Give 1 to {LONGEST_NAME} printable characters.")
    return str(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _id_of(event: Any) -> str | None:
    found = event.get("id") if isinstance(event, dict) else None
    return found if _is_name(found) else None


def _account(value: Any, field: str) -> int:
    """A number, or its digits: a CloudEvent's subject is text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(LARGEST_ACCOUNT)):
        value = int(value)
    if type(value) is not int or not 0 < value <= LARGEST_ACCOUNT:
        raise _Fault(f"{field}: Give an account's number.")
    return value


def _time(value: Any) -> int:
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise _Fault(f"time: Give a time with its zone, such as {TIME_EXAMPLE}.")
    try:
        return to_ms(read_time(value))
    except ValueError:
        raise _Fault("time: There is no such time.") from None


def _fault_of(metadata: Any) -> str:
    if isinstance(metadata, dict) and RUN_NAMED in metadata:
        return f"The member {RUN_NAMED} is ours."
    return fault_of(metadata)


def _shown(name: str) -> str:
    """A name that somebody else has given, as far as it can be shown."""
    return ascii(name[:LONGEST_SHOWN])
