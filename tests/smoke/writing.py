"""The one check that writes: a call is tracked, charged once, and comes into the log. It costs its feature's tokens."""

from __future__ import annotations

import time
import uuid
from typing import Final

from tests.smoke.reading import API, cheapest
from tests.smoke.site import Failed, Site, Skipped, expect, has

LOGGED_WITHIN_SECONDS: Final = 20


def track(site: Site) -> str:
    feature = cheapest(site)["code"]
    body, key = {"feature": feature, "metadata": {"smoke": True}}, str(uuid.uuid4())
    answer = site.ask(f"{API}/usage/track", body, Idempotency_Key=key)
    if answer.code in ("quota_exceeded", "budget_exceeded", "feature_not_in_plan"):
        raise Skipped(f"the key's account may not call {feature}: {answer.code}")
    found = expect(answer, 200).json
    has(found, "tokens_used", "tokens_total", "event")
    again = expect(site.ask(f"{API}/usage/track", body, Idempotency_Key=key), 200)
    if again.json["event"] != found["event"] or again.headers.get("Idempotency-Replayed") != "true":
        raise Failed("the same Idempotency-Key was charged twice")
    began = time.monotonic()
    while not _is_logged(site, feature, found["event"]):
        if time.monotonic() - began > LOGGED_WITHIN_SECONDS:
            raise Failed(f"{found['event']} is not in the log: is manage.py drain_usage --follow running?")
        time.sleep(2)
    return f"{found['tokens_used']} tokens for {feature}, logged after {time.monotonic() - began:.0f} s"


def _is_logged(site: Site, feature: str, event: str) -> bool:
    rows = expect(site.ask(f"{API}/usage/logs?feature={feature}"), 200).json["results"]
    return any(row["event"] == event for row in rows)
