"""The MCP library's server in a worker: one event loop in a thread of its own, made at the first request.

The one place that knows the library, which is imported then: it takes a second and 27 MB. The loop only speaks the
protocol. Tools run on the thread of their request, which has its database connection.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asgiref.current_thread_executor import CurrentThreadExecutor
from django.http import HttpRequest

from billing_site.mcp import calls, tools
from ratelimit import process_state
from usage.api.contract import admission_of, caller_of

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from mcp.server import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

EXCHANGE: Final = "billing_site.mcp.exchange"
LISTS_HOLD_MS: Final = 5 * 60 * 1000
"""So long a client may keep what it was told of the server and its tools."""
INSTRUCTIONS: Final = (
    "Ask how this account stands, what calls cost and what another plan would cost, and call the metered tools. "
    "A call that fails costs nothing. When the quota is used up, do not call again before `resets_at`: tell a person "
    "the `upgrade_url`. Plans are changed and invoices are paid by people only."
)


class Answer(NamedTuple):
    """What the library answers a POST with."""

    status: int
    content_type: str
    body: bytes


@dataclass
class Exchange:
    """One request on its way through the library: `executor` runs on the request's thread."""

    request: HttpRequest
    executor: CurrentThreadExecutor
    stopped_by: BaseException | None = None

    def run(self, tool: tools.Tool, arguments: dict[str, Any]) -> calls.ToolResult:
        try:
            return calls.run(self.request, tool, arguments)
        except BaseException as error:  # for the request's thread: raised in the loop it could end that for everybody
            self.stopped_by = error
            return calls.ToolResult(calls.BROKEN, has_failed=True)


@dataclass
class Loop:
    """The event loop of this process, once it was needed."""

    starting: threading.Lock = field(default_factory=threading.Lock)
    running: ExitStack = field(default_factory=ExitStack)
    portal: BlockingPortal | None = None
    manager: StreamableHTTPSessionManager | None = None


_loop: Loop = process_state.remember(__name__, "_loop", Loop)


def answer(request: HttpRequest) -> Answer:
    """The library's answer to a POST whose caller the gateway has admitted."""
    portal, manager = _started(_loop)
    exchange = Exchange(request, CurrentThreadExecutor(None))
    future = portal.start_task_soon(_serve, manager, _scope(request, exchange), request.body)
    exchange.executor.run_until_future(future)
    if exchange.stopped_by is not None:
        raise exchange.stopped_by
    answered: Answer = future.result()
    return answered


def _started(loop: Loop) -> tuple[BlockingPortal, StreamableHTTPSessionManager]:
    with loop.starting:
        if loop.portal is None or loop.manager is None:
            from anyio.from_thread import start_blocking_portal
            from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

            # Each request stands for itself, in one JSON answer: no sessions, so any worker can answer the next one.
            manager = StreamableHTTPSessionManager(_server(), stateless=True, json_response=True)
            portal = loop.running.enter_context(start_blocking_portal("asyncio", name="mcp"))
            loop.running.enter_context(portal.wrap_async_context_manager(manager.run()))
            loop.portal, loop.manager = portal, manager
            weakref.finalize(loop, loop.running.close)  # when the process ends, after the threads of its requests
        return loop.portal, loop.manager


def _server() -> Server[Any]:
    from mcp.server import CacheHint, Server

    kept = CacheHint(ttl_ms=LISTS_HOLD_MS, scope="private")
    return Server(
        "metered-api",
        version="1",
        title="Metered API",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": kept, "server/discover": kept},
        get_tool_input_schema=_input_schema,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


def _input_schema(name: str) -> dict[str, Any] | None:
    tool = tools.find(name)
    return tool.input_schema if tool is not None else None


async def _list_tools(context: Any, _: Any) -> Any:
    from mcp_types import ListToolsResult, ToolAnnotations
    from mcp_types import Tool as Listed

    request = context.request.scope[EXCHANGE].request
    catalogue = admission_of(request).snapshot.catalogue
    return ListToolsResult(
        tools=[
            Listed(
                name=tool.name,
                description=_described(tool, catalogue),
                input_schema=tool.input_schema,
                annotations=ToolAnnotations(
                    read_only_hint=tool.changes_nothing, destructive_hint=False, open_world_hint=False
                ),
            )
            for tool in tools.offered(caller_of(request), catalogue)
        ]
    )


def _described(tool: tools.Tool, catalogue: Any) -> str:
    feature = catalogue.features.get(tool.feature)
    return tool.description if feature is None else f"{tool.description}\n\nCosts {feature.tokens} tokens."


async def _call_tool(context: Any, params: Any) -> Any:
    from mcp.shared.exceptions import MCPError
    from mcp_types import INVALID_PARAMS, CallToolResult, TextContent

    tool = tools.find(params.name)
    if tool is None:
        raise MCPError(code=INVALID_PARAMS, message="There is no such tool; tools/list has those there are.")
    exchange: Exchange = context.request.scope[EXCHANGE]
    loop = asyncio.get_running_loop()
    result = await loop.run_in_executor(exchange.executor, exchange.run, tool, params.arguments or {})
    return CallToolResult(
        content=[TextContent(text=result.text)], structured_content=result.content, is_error=result.has_failed
    )


def _scope(request: HttpRequest, exchange: Exchange) -> dict[str, Any]:
    """The request as ASGI has it."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
    return {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "query_string": b"",
        "headers": headers,
        EXCHANGE: exchange,
    }


async def _serve(manager: StreamableHTTPSessionManager, scope: dict[str, Any], body: bytes) -> Answer:
    """The library's answer, as an ASGI server would get it."""
    unread = [body]
    head: dict[str, Any] = {}
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not unread:
            await asyncio.Event().wait()  # a client that leaves is noticed by the web server
        return {"type": "http.request", "body": unread.pop(), "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            head.update(message)
        else:
            parts.append(message.get("body", b""))

    await manager.handle_request(scope, receive, send)
    headers = dict(head.get("headers", ()))
    return Answer(head["status"], headers.get(b"content-type", b"").decode("latin-1"), b"".join(parts))
