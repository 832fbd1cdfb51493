"""Stands before a node as other nodes do: limits rows, falls silent, changes its mind. A real HTTP server."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Front:
    """Passes calls on, but for the faults that are set."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.most_blocks: int | None = None
        """More blocks than this in one look for logs are too many."""
        self.status = 200
        """Another one is answered to everything."""
        self.drops = False
        """Answers are lost: the call was made, the connection ends."""
        self.answers: dict[str, Any] = {}
        """Results that stand in for the node's, by method."""
        self.declines: set[str] = set()
        """Methods that the node says it cannot answer, as one that has forgotten old states."""
        self.before: Callable[[str], None] = lambda method: None
        """Called before a method is passed on: what happens on the chain meanwhile."""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: bytes) -> bytes:
        call = json.loads(body)
        method = call["method"]
        self.asked.append(method)
        self.before(method)
        if method == "eth_getLogs" and self._is_too_much(call["params"][0]):
            error = {"code": -32005, "message": "query returned more than 10000 results"}
            return json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode()
        if method in self.declines:
            error = {"code": -32000, "message": "missing trie node"}
            return json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode()
        if method in self.answers:
            return json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": self.answers[method]}).encode()
        request = urllib.request.Request(self.upstream, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())

    def _is_too_much(self, asked: dict[str, str]) -> bool:
        blocks = int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) + 1
        return self.most_blocks is not None and blocks > self.most_blocks

    def _handler(front) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                answer = front.answer(self.rfile.read(int(self.headers["Content-Length"])))
                if front.drops:
                    self.close_connection = True
                    return
                self.send_response(front.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
