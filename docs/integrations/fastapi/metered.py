"""ASGI middleware: the billing site decides on each request before the app sees it, and failures are given back.

app.add_middleware(Metered, site="http://127.0.0.1:8000", key="of the scope meter")
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import quote

import httpx

logger = logging.getLogger(__name__)
OURS = (b"x-account-id", b"x-plan", b"x-usage-event")
OVERRIDES = (b"x-http-method-override", b"x-http-method", b"x-method-override")
ASKED_WITH = (b"authorization", b"usage-run", b"origin", b"access-control-request-method", b"x-request-id", *OVERRIDES)
NOT_PASSED_ON = ("connection", "content-encoding", "content-length", "date", "server", "transfer-encoding", "vary")
TOLD = ("ratelimit", "ratelimit-policy", "x-usage-cost", "x-usage-event")
PROBLEM = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "unavailable"}
UNDECIDED = json.dumps(
    {**PROBLEM, "detail": "No decision can be made at the moment; the call was not served."}
).encode()


class Metered:
    def __init__(self, app: Any, site: str, key: str, seconds: float = 5.0) -> None:
        self.app, self.key = app, key
        self.site = httpx.AsyncClient(base_url=site, timeout=seconds, trust_env=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # a socket is not one call: charge what is asked over it with /usage/track
            return await send({"type": "websocket.close", "code": 1008})
        answer = await self._ask(scope)
        if answer is None or answer.status_code not in (200, 400, 401, 403, 429, 503):
            headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"1")]
            return await _respond(send, 503, headers, UNDECIDED)
        if answer.status_code != 200:
            return await _respond(send, answer.status_code, _headers(answer, but=NOT_PASSED_ON), answer.content)
        told, status, unread = answer.headers, 0, []
        ours = [(name, told.get(name.decode(), "").encode()) for name in OURS]
        scope = {**scope, "headers": [one for one in scope["headers"] if one[0] not in OURS] + ours}

        async def receive_too() -> Any:
            return unread.pop() if unread else await receive()

        async def send_too(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"] if not await _has_left(receive, unread) else 499
                passed = [
                    (n, v if n != b"x-usage-cost" or status < 400 else b"0") for n, v in _headers(answer, of=TOLD)
                ]
                message = {**message, "headers": [*message.get("headers", ()), *passed]}
            await send(message)

        try:
            await self.app(scope, receive_too, send_too)
        finally:  # as at the gateway, the status line decides: who leaves in the middle of an answer has paid for it
            if told.get("x-usage-event") and (status == 0 or status >= 400):
                await asyncio.shield(self._give_back(told["x-account-id"], told["x-usage-event"]))

    async def _ask(self, scope: Any) -> httpx.Response | None:
        target = scope.get("raw_path") or quote(scope["path"]).encode()
        target += b"?" + scope["query_string"] if scope["query_string"] else b""
        headers = [one for one in scope["headers"] if one[0] in ASKED_WITH]
        headers += [(b"x-original-method", scope["method"].encode()), (b"x-original-uri", target)]
        try:
            return await self.site.get("/api/v1/usage/authorize", headers=headers)
        except httpx.HTTPError as error:
            logger.warning("%s is answered with 503: %r", scope["path"], error)
            return None

    async def _give_back(self, account: str, event: str) -> None:
        for seconds in (0, 0.5, 2, 5):  # the site may be starting anew
            await asyncio.sleep(seconds)
            try:
                path = f"/api/v1/usage/events/{event}?account={account}"
                answer = await self.site.delete(path, headers={"Authorization": f"Bearer {self.key}"})
            except httpx.HTTPError:
                continue
            if answer.status_code in (204, 409):  # given back, now or before
                return
        logger.error("charge %s of account %s was not given back", event, account)


async def _has_left(receive: Any, unread: list[Any]) -> bool:
    """Whether the client has gone; what it has sent instead is kept for the app."""
    asked = asyncio.ensure_future(receive())
    for _ in range(2):
        await asyncio.sleep(0)
    if not asked.done():
        asked.cancel()
        return False
    message = asked.result()
    if message["type"] != "http.disconnect":
        unread.insert(0, message)
    return bool(message["type"] == "http.disconnect")


def _headers(answer: httpx.Response, of: Any = None, but: Any = ()) -> list[tuple[bytes, bytes]]:
    named = ((name.lower(), value) for name, value in answer.headers.raw)
    return [one for one in named if (of is None or one[0].decode() in of) and one[0].decode() not in but and one[1]]


async def _respond(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
