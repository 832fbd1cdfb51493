"""The official MCP client, with a key, in either generation of the protocol, as plain calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.journeys.server import Server

T = TypeVar("T")
GENERATIONS = ("legacy", "auto")
"""With a handshake, as until 2025; and without one, from 2026-07-28 on."""


def connected(server: Server, key: str, mode: str, use: Callable[[Client], Awaitable[T]], **headers: str) -> T:
    """What `use` makes of a client that is connected with the key."""

    async def run() -> T:
        sent = {"Authorization": f"Bearer {key}", **headers}
        async with (
            httpx2.AsyncClient(headers=sent, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(f"{server.url}/api/v1/mcp", http_client=http), mode=mode) as client,
        ):
            return await use(client)

    return anyio.run(run)


async def error_of(awaited: Awaitable[Any]) -> MCPError:
    """The error that the client raises."""
    try:
        answer = await awaited
    except MCPError as error:
        return error
    raise AssertionError(f"no error, but {answer}")


def raised(error: BaseException) -> MCPError:
    """The client's error within the groups that its tasks raise it in."""
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, MCPError), repr(error)
    return error
