"""Real HTTP clients that call at a steady pace and note what they were told, call by call."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

FEATURES = {
    "trace/expand": ("trace_expand", 5),
    "risk/score": ("risk_score", 2),
    "wallet-scanner/scan": ("wallet_scan", 7),
    "reports/generate": ("report_generate", 4),
    "patterns/detect": ("pattern_detection", 8),
}
"""Sandbox paths, their features, and the tokens that the default catalogue asks for them."""
ON_EVERY_PLAN = [path for path in FEATURES if path != "patterns/detect"]
PATIENCE_SECONDS = 15.0
RETRIES = 4
LONGEST_REQUEST_SECONDS = 4
"""The site's setting: after it, a request of which nobody knows how it ended may run again under its key."""
RETRY_SECONDS = 0.5
KEYED, REPEATED, FAILING = 0.25, 0.3, 0.06
"""Shares: of calls under an idempotency key, of those that are sent again, of calls asked to fail."""


@dataclass(slots=True)
class Account:
    """A customer of one experiment. `quota` and `minute` are what its plan and overrides come to; None: unlimited."""

    role: str
    pk: int
    key: str
    quota: int | None
    minute: int | None
    clients: int = 2
    pace: float = 5.0
    """Calls a second of each client."""
    fixed: bool = True
    """Its limits stay as they are during the experiment."""
    cold: bool = False
    """No server process knows it yet, so without PostgreSQL it cannot be served."""
    plain: bool = False
    """It calls without idempotency keys, and none of its calls is asked to fail."""


@dataclass(slots=True)
class Call:
    """One request and its answer. Status 0: sent and never answered; -1: nobody listened, so nothing was sent."""

    account: int
    feature: str
    began: float
    ended: float = 0.0
    status: int = -1
    event: str = ""
    cost: int = 0
    code: str = ""
    key: str = ""
    asked_to_fail: int = 0
    sleeps: bool = False
    replayed: bool = False
    retry_after: str = ""

    @property
    def served(self) -> bool:
        return 200 <= self.status < 400

    @property
    def unknown(self) -> bool:
        """The client cannot know whether it was charged."""
        return self.status == 0 or (self.status >= 500 and self.status != self.asked_to_fail)

    @property
    def failed_here(self) -> bool:
        """A failure of the server's that nobody asked for."""
        return self.status >= 500 and self.status != self.asked_to_fail


class Client:
    """One connection that sends one account's calls."""

    def __init__(self, address: tuple[str, int], account: Account, seed: str) -> None:
        self.address = address
        self.account = account
        self.chance = random.Random(seed)
        self.seed = seed
        self.calls: list[Call] = []
        self._connection: http.client.HTTPConnection | None = None
        self._keys = 0

    def run(self, stop: threading.Event) -> None:
        """Call until told to stop, at the account's pace on average."""
        while not stop.wait(self.chance.uniform(0, 2 / self.account.pace)):
            path = self.chance.choice(ON_EVERY_PLAN)
            draw = self.chance.random()
            if self.account.plain or draw > KEYED + FAILING:
                self.call(path)
            elif draw > KEYED:
                self.call(path, fail=self.chance.choice([418, 500]))
            else:
                self._under_key(path, stop)
        self.close()

    def _under_key(self, path: str, stop: threading.Event) -> None:
        """As a careful client does: the same request again until its outcome is known, and sometimes once more."""
        self._keys += 1
        key = f"{self.seed}-{self._keys}"
        for _ in range(RETRIES):
            call = self.until_ended(path, key, stop)
            if not call.unknown and call.status != -1:
                break
            stop.wait(RETRY_SECONDS)
        if call.served and self.chance.random() < REPEATED:
            self.until_ended(path, key, stop)

    def until_ended(self, path: str, key: str, stop: threading.Event) -> Call:
        """A request under a key, sent again while the one before it is said to be in flight."""
        latest = time.monotonic() + 2 * LONGEST_REQUEST_SECONDS
        while True:
            call = self.call(path, key=key)
            if call.code != "idempotency_in_progress" or time.monotonic() > latest:
                return call
            stop.wait(RETRY_SECONDS)

    def call(self, path: str, *, key: str = "", fail: int = 0, sleep_ms: int = 0) -> Call:
        body: dict[str, Any] = ({"fail": fail} if fail else {}) | ({"sleep_ms": sleep_ms} if sleep_ms else {})
        asked = {"asked_to_fail": fail, "sleeps": sleep_ms > 0}
        return self.send("POST", f"/api/v1/{path}", body, feature=path, key=key, **asked)

    def send(self, method: str, url: str, body: Any = None, *, feature: str = "", key: str = "", **asked: Any) -> Call:
        """Send one request and note its outcome, beside what it asked for."""
        call = Call(self.account.pk, feature, time.time(), key=key, **asked)
        headers = {"Authorization": f"Bearer {self.account.key}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        self.calls.append(call)
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_SECONDS)
                self._connection.connect()
            call.status = 0
            self._connection.request(method, url, None if body is None else json.dumps(body), headers)
            self._note(call, self._connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.close()
        call.ended = time.time()
        return call

    def _note(self, call: Call, response: http.client.HTTPResponse) -> None:
        text = response.read()
        call.event = response.headers.get("X-Usage-Event", "")
        call.cost = int(response.headers.get("X-Usage-Cost", "0"))
        call.replayed = response.headers.get("Idempotency-Replayed") == "true"
        call.retry_after = response.headers.get("Retry-After", "")
        call.status = response.status
        if response.status >= 400 and "json" in response.headers.get("Content-Type", ""):
            call.code = str(json.loads(text).get("code", ""))

    @property
    def port(self) -> int:
        """Its own, of the connection it has; 0 without one."""
        if self._connection is None or self._connection.sock is None:
            return 0
        return int(self._connection.sock.getsockname()[1])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Load:
    """All clients of one experiment, each in a thread of its own."""

    address: tuple[str, int]
    accounts: list[Account]
    seed: str
    clients: list[Client] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        for account in self.accounts:
            for number in range(account.clients):
                client = self.client(account, f"{account.role}-{number}")
                thread = threading.Thread(target=client.run, args=[self.stopping], daemon=True)
                self._threads.append(thread)
                thread.start()

    def client(self, account: Account, name: str) -> Client:
        """One more client, for calls of the experiment's own; what it notes counts with the rest."""
        client = Client(self.address, account, f"{self.seed}-{name}")
        self.clients.append(client)
        return client

    def stop(self) -> None:
        self.stopping.set()

    @property
    def ended(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def calls(self) -> list[Call]:
        return sorted((call for client in self.clients for call in list(client.calls)), key=lambda call: call.began)
