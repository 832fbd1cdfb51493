"""Webhooks: signed, and sent once, twice, in another order, or never."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from typing import Any

SECRET = "whsec_test_server"
TRIES = 20


class Telling:
    """Events wait here until a test takes them, or are sent as they come where an address is given."""

    def __init__(self) -> None:
        self.url = ""
        self._out: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._send_all, daemon=True).start()
        self.forget()

    def forget(self) -> None:
        self.waiting: list[Any] = []
        self.url = ""

    def to(self, url: str) -> None:
        """Empty: nothing is sent; what happens waits to be taken."""
        self.url = url

    def tell(self, event: Any) -> None:
        if self.url:
            self._out.put((self.url, event))
        else:
            self.waiting.append(event)

    def take(self, seconds_ago: int = 0, secret: str = SECRET) -> list[dict[str, str]]:
        """What waited, oldest first, each as body and signature."""
        taken, self.waiting = self.waiting, []
        return [signed(event, int(time.time()) - seconds_ago, secret) for event in taken]

    def _send_all(self) -> None:
        while True:
            url, event = self._out.get()
            for number in range(TRIES):  # the site may still be starting
                with contextlib.suppress(urllib.error.URLError, OSError):
                    sent = signed(event, int(time.time()))
                    headers = {"Content-Type": "application/json", "Stripe-Signature": sent["signature"]}
                    request = urllib.request.Request(url, sent["body"].encode(), headers)
                    urllib.request.urlopen(request, timeout=10).close()
                    break
                time.sleep(min(0.2 * 2**number, 5))


def signed(event: Any, at: int, secret: str = SECRET) -> dict[str, str]:
    return signed_text(json.dumps(event), at, secret)


def signed_text(body: str, at: int, secret: str = SECRET) -> dict[str, str]:
    mac = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return {"body": body, "signature": f"t={at},v1={mac}"}
