"""A receiver of webhooks: PORT and WEBHOOK_SECRET in the environment. Needs `pip install standardwebhooks`."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
seen: set[str] = set()  # in your database


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))  # the bytes as they came, not JSON written anew
        try:
            message = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError:
            return self.answer(400)
        if self.headers["webhook-id"] not in seen:  # it may come twice
            seen.add(self.headers["webhook-id"])
            print(message["type"], message["data"]["id"], message["data"]["version"], flush=True)
        self.answer(204)  # at once: work that takes longer goes into a queue

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
