"""The provider: answers `POST /v1/chat/completions` as its request's `metadata` says, which is a member of OpenAI's.

`prompt`, `cached`, `words`, `reasoning`: the numbers of its usage block. `ms`: between two chunks. `usage`: "none", or
"null" members. `status`: an error. `silent_ms`: says nothing first. `die_after`: resets the connection after so many
chunks. `error_after`: an error in the stream. `end_after`: a stream that just ends. `html`: a page with status 200.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-upstream-secret"
SECRET = "internal detail of the provider"
RESET = struct.pack("ii", 1, 0)
Json = dict[str, Any]


class Provider(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        with self.lock:
            self.asked: list[Json] = []
            self.left = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def do_GET(self) -> None:
        with self.server.lock:
            told = {"asked": self.server.asked, "left": self.server.left}
        self._json(200, told)

    def do_DELETE(self) -> None:
        self.server.forget()
        self._json(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append({"path": self.path, "headers": dict(self.headers.items()), "body": body})
        told = body.get("metadata") or {}
        time.sleep(int(told.get("silent_ms", 0)) / 1000)
        status = int(told.get("status", 200))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            status = 401
        if status != 200:
            self._json(status, {"error": {"message": f"{SECRET}: {KEY}", "type": "invalid_request_error"}})
        elif "html" in told:
            self._send(200, "text/html", b"<p>It works!")
        elif body.get("stream"):
            self._stream(body, told)
        else:
            self._json(200, self._whole(body, told))

    def _whole(self, body: Json, told: Json) -> Json:
        message = {"role": "assistant", "content": "".join(self._words(told)), "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        whole = self._head(body, "chat.completion") | {"choices": [choice]}
        return whole if told.get("usage") == "none" else whole | {"usage": self._usage(told)}

    def _stream(self, body: Json, told: Json) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._events(body, told)
        except OSError:
            with self.server.lock:
                self.server.left += 1
            raise

    def _events(self, body: Json, told: Json) -> None:
        head = self._head(body, "chat.completion.chunk")
        asked_for_usage = (body.get("stream_options") or {}).get("include_usage")
        for position, word in enumerate(self._words(told)):
            if told.get("die_after") == str(position):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                os.close(self.connection.detach())
                self.close_connection = True
                return
            if told.get("end_after") == str(position):
                self._chunk(b"")
                return
            if told.get("error_after") == str(position):
                self._event({"error": {"message": f"{SECRET}: {KEY}"}})
                return
            time.sleep(int(told.get("ms", 0)) / 1000)
            delta = {"content": word} if position else {"role": "assistant", "content": word}
            self._event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        self._event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if asked_for_usage and told.get("usage") != "none":
            self._event(head | {"choices": [], "usage": self._usage(told)})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _usage(self, told: Json) -> Json:
        prompt, reasoning = int(told.get("prompt", 7)), int(told.get("reasoning", 0))
        completion = int(told.get("words", 3)) + reasoning
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": int(told.get("cached", 0))},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }

    def _words(self, told: Json) -> list[str]:
        return [f"word{position} " for position in range(int(told.get("words", 3)))]

    def _head(self, body: Json, kind: str) -> Json:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": body["model"]}

    def _event(self, value: Json) -> None:
        self._chunk(b": a comment\r\n\r\ndata: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        """Cut in two, as networks cut."""
        for part in (data[: len(data) // 2], data[len(data) // 2 :]) if data else (b"",):
            if part or not data:
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def _json(self, status: int, value: Any) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
