"""The front: Idempotency-Keys, faults on demand, and which request is whose. `python -m tests.servers.card` runs it."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.servers.card.checkout import Checkout
from tests.servers.card.provider import Json, Provider
from tests.servers.card.telling import Telling
from tests.servers.card.upstream import Failed, Upstream, nested

BUSY = {"type": "invalid_request_error", "code": "idempotency_key_in_use", "message": "The key is in use."}
OTHER = {
    "type": "idempotency_error",
    "message": "Keys for idempotent requests can only be used with the same parameters.",
}
AWAY = {"type": "api_error", "message": "The provider is away, on demand."}


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Fault:
    """`refuse`: 503, nothing is executed. `lose`: executed, the connection ends without an answer. `error`: executed,
    answered 500. `delay`: executed after some seconds."""

    kind: str
    path: str
    times: int = 1
    seconds: float = 0


class Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def __init__(self, port: int, upstream: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.provider = Provider(Upstream(upstream))
        self.checkout = Checkout(self.provider)
        self.checkout.base = f"http://127.0.0.1:{port}"
        self.telling = Telling()
        self.provider.told = self.telling.tell
        self.lock = threading.RLock()
        self.forget()

    def forget(self) -> None:
        self.answers: dict[str, tuple[str, Answer | None]] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []  # method and path of each request that was executed
        self.provider.forget()
        self.checkout.forget()
        self.telling.forget()

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.path, f"{method} {path}"):
                    fault.times -= 1
                    return fault
        return None

    def once(self, key: str, request: str, method: str, path: str, form: Json, seconds: float) -> Answer:
        """Executed once under its key, after some seconds; the answer is given again."""
        if not key:
            return self.execute(method, path, form, seconds)
        with self.lock:
            known = self.answers.get(key)
            if known is None:
                self.answers[key] = request, None
        if known is not None:
            if known[0] != request:
                return Answer(400, {"error": OTHER}, {})
            if known[1] is None:
                return Answer(409, {"error": BUSY}, {})
            return Answer(known[1].status, known[1].body, {"Idempotent-Replayed": "true"})
        answer = self.execute(method, path, form, seconds)
        with self.lock:
            if answer.status == 404:  # nothing was begun, and the key is free
                del self.answers[key]
            else:
                self.answers[key] = request, answer
        return answer

    def execute(self, method: str, path: str, form: Json, seconds: float) -> Answer:
        time.sleep(seconds)
        with self.lock:
            self.asked.append(f"{method} {path}")
            try:
                return Answer(200, self._routed(method, path, form), {})
            except Failed as failed:
                return Answer(failed.status, failed.body, {})

    def _routed(self, method: str, path: str, form: Json) -> Any:
        provider, checkout = self.provider, self.checkout
        match (method, path.split("/")[2:]):
            case "GET", ["events"]:
                return _listed(path, self._events(form), form)
            case "GET", ["payment_intents"]:
                page = _listed(path, provider.payments(form), form)
                return page | {"data": [provider.get(f"{path}/{each['id']}") for each in page["data"]]}
            case "POST", ["payment_intents"] if form.get("confirm") == "true":
                return provider.pay(form, customer_is_away=form.get("off_session") == "true")
            case "POST", ["payment_intents", payment, "cancel"]:
                return provider.seen(provider.cancel(payment))
            case "POST", ["payment_methods", card, "detach"]:
                return provider.seen(provider.detach(card))
            case "POST", ["refunds"]:
                return provider.refund(form)
            case "POST", ["checkout", "sessions"]:
                return checkout.begin(form)
            case "GET", ["checkout", "sessions", session]:
                return checkout.shown(checkout.get(session), form.get("expand", ()))
            case "POST", ["checkout", "sessions", session, "expire"]:
                return checkout.expire(session)
            case "GET", ["setup_intents", _]:
                return self._with_card(provider.get(path))
            case "GET", [_, _]:
                return provider.get(path)
        return provider.seen(provider.upstream.ask(method, path, {k: v for k, v in form.items() if k != "expand"}))

    def _events(self, query: Json) -> list[Json]:
        since = int(query.get("created", {}).get("gte", 0))
        return [event for event in reversed(self.provider.events) if event["created"] >= since]

    def _with_card(self, intent: Json) -> Json:
        if intent["payment_method"]:
            intent["payment_method"] = self.provider.get(f"/v1/payment_methods/{intent['payment_method']}")
        return intent

    def control(self, name: str, given: Json) -> Any:
        """What tests and the demo ask for; `running` has the words."""
        with self.lock:
            match name:
                case "reset":
                    self.provider.upstream.ask("DELETE", "/_config/data")
                    self.forget()
                case "fault":
                    self.faults.append(Fault(**given))
                case "forget_faults":
                    self.faults.clear()
                case "asked":
                    return self.asked
                case "live":
                    self.provider.is_live = given["is_live"]
                case "decline":
                    self.provider.declines[given["card"]] = given["code"]
                case "webhook":
                    self.telling.to(**given)
                case "pending":
                    return self.telling.take(**given)
                case "tell" | "save_card" | "update_card" | "dispute" | "close_dispute" | "fail_refund" | "detach":
                    return getattr(self.provider, name)(**given)
        return None


class Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/pay/"):
            with self.server.lock:
                self._page(self.server.checkout.page(parts.path.rsplit("/", 1)[1]))
        else:
            self._api(parts.path, nested(parts.query))

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if path.startswith("/_control/"):
            self._json(200, self.server.control(path.rsplit("/", 1)[1], json.loads(body or "{}")), {})
        elif path.startswith("/pay/"):
            with self.server.lock:
                there, page = self.server.checkout.submit(path.rsplit("/", 1)[1], nested(body))
            self._send(303, b"", {"Location": there}) if there else self._page(page)
        else:
            self._api(path, nested(body), f"{path}?{body}")

    def do_DELETE(self) -> None:
        self._api(urlsplit(self.path).path, {})

    def _api(self, path: str, form: Json, request: str = "") -> None:
        fault = self.server.fault_of(self.command, path)
        if fault and fault.kind == "refuse":
            return self._json(503, {"error": AWAY}, {})
        key = self.headers.get("Idempotency-Key", "") if self.command == "POST" else ""
        seconds = fault.seconds if fault else 0
        answer = self.server.once(key, request, self.command, path, form, seconds)
        if fault and fault.kind == "lose":
            self.close_connection = True
            return None
        if fault and fault.kind == "error":
            return self._json(500, {"error": AWAY}, {})
        return self._json(answer.status, answer.body, answer.headers)

    def _json(self, status: int, body: Any, headers: dict[str, str]) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json"} | headers)

    def _page(self, page: str) -> None:
        self._send(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the log is for what goes wrong."""


def _listed(path: str, newest_first: list[Json], query: Json) -> Json:
    after, limit = query.get("starting_after"), int(query.get("limit", 10))
    ids = [each["id"] for each in newest_first]
    start = ids.index(after) + 1 if after in ids else 0
    page = newest_first[start : start + limit]
    return {"object": "list", "url": path, "data": page, "has_more": len(newest_first) > start + limit}
