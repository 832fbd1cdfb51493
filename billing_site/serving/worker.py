"""The worker class: a loop reads whole requests, threads answer them, the loop sends what clients do not take at once.

Gunicorn's own threads read from clients and write to them, so as many slow clients as threads stop a worker. Here a
client costs a descriptor and what it has sent, never a thread, and is disconnected once it is too slow: a request that
does not come, or comes a byte at a time, or an answer that nobody takes. Gunicorn parses, answers, reloads and stops.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from gunicorn.errors import ConfigError
from gunicorn.workers.gthread import ThreadWorker

from billing_site.serving.connection import BLOCK, LINGER_SECONDS, Connection
from billing_site.serving.refusals import LARGEST_BODY, SLOW_CLIENT_SECONDS, refusal

SWEEP_SECONDS: Final = 0.25
STOPPING_SWEEP_SECONDS: Final = 0.1
SEND_BUFFER: Final = 4 * BLOCK
"""Bytes that the kernel takes ahead of the client. It would take megabytes, whose slow way out looks like none."""
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class BufferingWorker(ThreadWorker):
    """Gunicorn's threaded worker, whose threads never wait for a client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self._swept = 0.0

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Raises ConfigError for what has to be in the clear for the loop to find where requests end."""
        if cfg.is_ssl or cfg.protocol != "http" or cfg.proxy_protocol not in (False, None, "off"):
            raise ConfigError("this worker speaks HTTP/1 only: leave TLS and the PROXY protocol to a proxy before it")
        super().check_config(cfg, log)

    # What the loop of gunicorn calls.

    def init_process(self) -> None:
        for listener in self.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # its connections inherit it
        super().init_process()

    def accept(self, listener: Any) -> bool:
        """Take one new connection; at the limit the oldest that waits for its client makes room for it."""
        if len(self.connections) >= self.worker_connections - 1:
            self._drop_oldest()
        try:
            raw, client = listener.accept()
        except OSError:  # the client has gone, or another process was faster
            return False
        raw.setblocking(False)
        conn = Connection(self.cfg, raw, client, listener.getsockname(), LARGEST_BODY, self._on_unsent)
        self.connections.add(conn)
        self.nr_conns = len(self.connections)
        conn.allow(SLOW_CLIENT_SECONDS if self.alive else self.cfg.graceful_timeout / 2)
        self._step(conn, self._receive)
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """A worker that stops takes those who wait to be accepted; others go to another worker, or are refused.

        One that is stopped while it loads is asked to accept first, and to stop right after.
        """
        stops = not enabled and not self.alive
        if stops and self._accepting:
            for listener in self.sockets:
                for _ in range(self.cfg.backlog):
                    if not self.accept(listener):
                        break
        super().set_accept_enabled(enabled)
        if stops:
            for listener in self.sockets:
                listener.close()

    def enqueue_req(self, conn: Connection) -> None:
        conn.in_thread, conn.deadline = True, float("inf")
        self.tpool.submit(self._answer, conn)

    def wait_for_and_dispatch_events(self, timeout: float | None = None) -> None:
        """A worker that stops looks often: waiting out a whole second, it could end with its graceful time and be
        killed before it has written what it has counted."""
        super().wait_for_and_dispatch_events(timeout if self.alive else STOPPING_SWEEP_SECONDS)

    def murder_pending(self) -> None:
        """Disconnect clients whose time is over."""
        now = time.monotonic()
        if now < self._swept + (SWEEP_SECONDS if self.alive else STOPPING_SWEEP_SECONDS):
            return
        self._swept = now
        half = self.cfg.graceful_timeout / 2
        for conn in list(self.connections):
            if not self.alive and not conn.in_thread:  # a kept connection may be closed at any time, and clients know
                kept = conn.is_idle and not conn.is_new
                conn.deadline = min(conn.deadline, now + (min(LINGER_SECONDS, half) if kept else half))
            if conn.deadline <= now:
                self._expire(conn)

    # One connection's way.

    def _step(self, conn: Connection, step: Callable[[Connection], None]) -> None:
        try:
            step(conn)
        except OSError:  # the client is gone
            self._forget(conn)

    def _receive(self, conn: Connection) -> None:
        """Read what has come; give the request to a thread when it is whole."""
        with conn.channel.lock:
            if conn.in_thread:  # the next request comes early: the thread will look for it again
                self._watch(conn, 0)
                return
        try:
            data = conn.raw.recv(BLOCK)
        except BlockingIOError:
            self._watch(conn, READ)
            return
        if conn.refused:
            if not data:
                self._forget(conn)
        elif data:
            if conn.is_idle:
                conn.allow(SLOW_CLIENT_SECONDS)
            conn.moved(len(data), SLOW_CLIENT_SECONDS)
            conn.receive(data)
            self._advance(conn)
        elif conn.channel.incoming:
            self._refuse(conn, 400)  # half a request, and no more of it will come: it is not run
        else:
            self._forget(conn)

    def _advance(self, conn: Connection) -> None:
        frame = conn.frame
        if frame.refused:
            self._refuse(conn, frame.refused)
        elif frame.whole:
            self.enqueue_req(conn)
        else:
            if frame.expects_continue and not conn.channel.sent_continue:
                conn.channel.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                conn.channel.sent_continue = True
            self._watch(conn, READ)

    def _answer(self, conn: Connection) -> None:
        """In a thread: answer, then give the connection back to the loop, woken only if it has something to do."""
        stays = False
        try:
            stays = bool(self.handle(conn))
        finally:
            conn.stays = stays and not conn.channel.ran_out
            if not self._wait_for_next(conn):
                self.method_queue.defer(self._answered, conn)

    def _wait_for_next(self, conn: Connection) -> bool:
        """In a thread: whether the connection now waits for a request of which nothing has come."""
        if not conn.stays:
            return False
        conn.begin_next()
        channel = conn.channel
        with channel.lock:
            if channel.incoming or channel.unsent or channel.broken or conn.events == WRITE:
                return False
            conn.allow(self.cfg.keepalive)
            conn.in_thread = False
            self._watch(conn, READ)
        return True

    def _answered(self, conn: Connection) -> None:
        conn.in_thread = False
        if conn.channel.broken:
            self._forget(conn)
        else:
            self._step(conn, self._go_on)

    def _on_unsent(self, conn: Connection) -> None:
        """A thread has written more than the client takes."""
        self.method_queue.defer(self._send_rest, conn)

    def _send_rest(self, conn: Connection) -> None:
        if not conn.channel.broken and conn.channel.unsent:
            if conn.deadline == float("inf"):
                conn.allow(SLOW_CLIENT_SECONDS)
            self._watch(conn, WRITE)

    def _flush(self, conn: Connection) -> None:
        conn.moved(conn.channel.flush(), SLOW_CLIENT_SECONDS)
        with conn.channel.lock:
            if conn.channel.unsent:
                return
            self._watch(conn, 0)
            conn.deadline = float("inf")
            in_thread = conn.in_thread
        if not in_thread:
            self._go_on(conn)

    def _go_on(self, conn: Connection) -> None:
        """No thread has it: send the rest, then wait for the next request, or for the client to go."""
        if conn.channel.unsent:
            self._send_rest(conn)
        elif not conn.stays:
            self._end(conn)
        else:
            conn.begin_next()
            conn.allow(SLOW_CLIENT_SECONDS if conn.channel.incoming else self.cfg.keepalive)
            self._advance(conn)

    def _expire(self, conn: Connection) -> None:
        half = conn.channel.incoming and not conn.channel.unsent and not conn.in_thread
        if half and not conn.refused:
            self._step(conn, lambda conn: self._refuse(conn, 408))
        else:
            self._forget(conn)

    def _refuse(self, conn: Connection, status: int) -> None:
        conn.channel.sendall(refusal(status))
        self._end(conn)

    def _end(self, conn: Connection) -> None:
        """Say that nothing more comes, and throw away what the client still sends: a reset could cut the answer off."""
        conn.refused = True
        conn.channel.incoming.close()
        conn.raw.shutdown(socket.SHUT_WR)
        conn.allow(LINGER_SECONDS)
        self._watch(conn, READ)

    def _drop_oldest(self) -> None:
        waiting = [conn for conn in self.connections if not conn.in_thread]
        if waiting:
            self._forget(min(waiting, key=lambda conn: conn.since))

    def _forget(self, conn: Connection) -> None:
        """Close it; while a thread has it, it stays known, and the thread finds it broken."""
        self._watch(conn, 0)
        conn.deadline = float("inf")
        conn.close()
        if not conn.in_thread:
            self.connections.discard(conn)
            self.nr_conns = len(self.connections)

    def _watch(self, conn: Connection, events: int) -> None:
        if events == conn.events or conn.channel.broken:
            return
        if not events:
            self.poller.unregister(conn.raw)
        elif conn.events:
            self.poller.modify(conn.raw, events, self._on_event(conn, events))
        else:
            self.poller.register(conn.raw, events, self._on_event(conn, events))
        conn.events = events

    def _on_event(self, conn: Connection, events: int) -> Any:
        return lambda _: self._step(conn, self._receive if events == READ else self._flush)
