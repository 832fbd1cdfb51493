"""Checks that only read. Each gives what it found, in a few words; raises Failed, or Skipped."""

from __future__ import annotations

import uuid
from typing import Any

from tests.smoke.site import Failed, Site, Skipped, expect, has

API = "/api/v1"
NOBODY = "mk_live_nobodys1.0123456789abcdefghijklmnopqrstuv"


def health(site: Site) -> str:
    """It can serve."""
    answer = expect(site.ask("/health", key=None), 200)
    found = answer.json
    has(found, "status", "parts", "degraded")
    if found["degraded"]:
        raise Failed("degraded: " + ", ".join(f"{name} {found['parts'][name]}" for name in found["degraded"]))
    return f"{', '.join(found['parts'])} ok, {answer.seconds * 1000:.0f} ms"


def plans(site: Site) -> str:
    """Plans are on sale."""
    results = expect(site.ask(f"{API}/plans", key=None), 200).json["results"]
    if not results:
        raise Failed("no plan is on sale: manage.py seed_catalogue")
    for plan in results:
        has(plan, "code", "name", "price", "currency", "monthly_token_quota", "requests_per_minute")
    return ", ".join(plan["code"] for plan in results)


def features(site: Site) -> str:
    """Features have prices."""
    results = expect(site.ask(f"{API}/features", key=None), 200).json["results"]
    for feature in results:
        has(feature, "code", "tokens", "capability", "endpoints")
    return f"{len(results)} features"


def document(site: Site) -> str:
    """The OpenAPI document and its pages are there."""
    answer = expect(site.ask("/api/schema?format=json", key=None), 200)
    has(answer.json, "openapi", "paths")
    for page in ("/api/docs", "/api/docs/errors"):
        expect(site.ask(page, key=None), 200)
    return f"OpenAPI {answer.json['openapi']}, {len(answer.json['paths'])} paths"


def without_a_key(site: Site) -> str:
    """Nobody gets in without a key, or with one that is none."""
    answer = expect(site.ask(f"{API}/usage/current", key=None), 401, "not_authenticated")
    if answer.headers.get("WWW-Authenticate") != "Bearer" or "RateLimit" in answer.headers:
        raise Failed("401 without WWW-Authenticate: Bearer, or with a RateLimit")
    expect(site.ask(f"{API}/usage/current", key=NOBODY), 401, "not_authenticated")
    for trick in (f"/{API}/usage/current", f"{API}/%75sage/current", f"{API}/usage/current/"):
        if site.ask(trick, key=None).status < 400:
            raise Failed(f"{trick} lets in without a key")
    return "401"


def usage(site: Site) -> str:
    """The key's usage, with its limits in the headers."""
    name = f"smoke-{uuid.uuid4()}"
    answer = expect(site.ask(f"{API}/usage/current", X_Request_ID=name), 200)
    has(answer.json, "tokens_used", "quota", "tokens_remaining", "quota_percentage", "resets_at", "plan")
    if answer.headers.get("X-Request-ID") != name:
        raise Failed("X-Request-ID is not given back: does a proxy drop it?")
    if "no-store" not in answer.headers.get("Cache-Control", ""):
        raise Failed("Cache-Control: no-store is missing: caches may give a customer's usage to others")
    limits = answer.headers.get("RateLimit", "no limits")
    used, milliseconds = f"{answer.json['tokens_used']} tokens used", f"{answer.seconds * 1000:.0f} ms"
    return f"plan {answer.json['plan']}, {used}, {limits}, {milliseconds}"


def sums(site: Site) -> str:
    """The breakdown comes to what is used, whoever calls meanwhile."""
    before = _used(site)
    total = expect(site.ask(f"{API}/usage/breakdown"), 200).json["total"]
    after = _used(site)
    if not before <= total <= after:
        raise Failed(f"the breakdown's total is {total}, and used were {before} to {after}")
    return f"{total} tokens"


def _used(site: Site) -> int:
    return int(expect(site.ask(f"{API}/usage/current"), 200).json["tokens_used"])


def billing(site: Site) -> str:
    """What the customer is billed for."""
    found = expect(site.ask(f"{API}/billing/subscription"), 200).json
    has(found, "plan", "status", "current_period_end", "currency")
    invoices = expect(site.ask(f"{API}/billing/invoices"), 200).json
    has(invoices, "results")
    return f"{found['plan']} {found['status']} until {found['current_period_end']}"


def asking(site: Site) -> str:
    """Asking what a call would cost spends nothing; what is asked wrongly is refused by name."""
    feature = cheapest(site)
    found = expect(site.ask(f"{API}/usage/check", {"feature": feature["code"]}), 200).json
    has(found, "allowed", "code", "cost", "tokens_remaining", "retry_after")
    wrong = expect(site.ask(f"{API}/usage/check", {"feature": feature["code"], "smoke": 1}), 400, "invalid").json
    if "smoke" not in wrong.get("errors", {}):
        raise Failed("an unknown field is not named in the 400")
    return f"{feature['code']} costs {found['cost']}, {'allowed' if found['allowed'] else found['code']}"


def cheapest(site: Site) -> Any:
    """The cheapest feature that needs no capability. Raises Skipped."""
    results = expect(site.ask(f"{API}/features", key=None), 200).json["results"]
    free = [feature for feature in results if not feature["capability"]]
    if not free:
        raise Skipped("every feature needs a capability")
    return min(free, key=lambda feature: feature["tokens"])


def nothing(site: Site) -> str:
    """What is not there is a problem, no page and no stack trace."""
    answer = expect(site.ask(f"{API}/nothing-is-here"), 404, "not_found")
    if b"Traceback" in answer.body:
        raise Failed("DEBUG is on")
    return "404"


def pages(site: Site) -> str:
    """Pages want a log-in, and say what a browser may load."""
    for path in ("/dashboard/", "/admin/"):
        answer = site.ask(path, key=None)
        if answer.status not in (301, 302):
            raise Failed(f"{path} answers {answer.status} to nobody in particular")
    log_in = expect(site.ask("/accounts/login/", key=None), 200)
    if "Content-Security-Policy" not in log_in.headers:
        raise Failed("pages come without a Content-Security-Policy")
    return "log-in wanted"


def metrics(site: Site) -> str:
    """/metrics is not for everybody."""
    answer = site.ask("/metrics", key=None)
    if answer.status == 200:
        raise Failed("whoever reaches the site reads /metrics: set METRICS_TOKEN")
    return str(answer.status)


def https(site: Site) -> str:
    """Browsers come by HTTPS only."""
    if not site.is_https:
        raise Skipped("BASE is no https address")
    answer = expect(site.ask("/accounts/login/", key=None), 200)
    if "Strict-Transport-Security" not in answer.headers:
        raise Failed("no Strict-Transport-Security: set HTTPS=1")
    if any("secure" not in cookie.lower() for cookie in answer.headers.get_all("Set-Cookie", [])):
        raise Failed("cookies go over HTTP, too: set HTTPS=1")
    return "HSTS, secure cookies"


CHECKS = (
    health,
    plans,
    features,
    document,
    without_a_key,
    usage,
    sums,
    billing,
    asking,
    nothing,
    pages,
    metrics,
    https,
)
