"""What server.py rests on of the MCP library: look at it again when these fail after an upgrade."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import LATEST_MODERN_VERSION

from billing_site.mcp import server
from ratelimit import process_state
from tests.billing_site.mcp.rpc import MODERN, call, call_modern, content
from tests.cast import Customer


def test_it_is_the_version_that_was_tried() -> None:
    assert version("mcp").startswith("2.3."), "read billing_site/mcp/server.py against the new version, and try clients"
    assert LATEST_MODERN_VERSION == MODERN


def test_its_objects_take_what_they_are_given() -> None:
    manager = inspect.signature(StreamableHTTPSessionManager).parameters
    assert {"app", "stateless", "json_response"} <= set(manager)
    assert list(inspect.signature(StreamableHTTPSessionManager.handle_request).parameters) == [
        "self",
        "scope",
        "receive",
        "send",
    ]
    assert {"cache_hints", "get_tool_input_schema", "on_list_tools", "on_call_tool"} <= set(
        inspect.signature(Server).parameters
    )


@pytest.mark.django_db
def test_all_requests_of_a_process_share_one_loop(bob: Customer) -> None:
    assert server._loop.portal is None
    content(call(bob, "get_usage"))
    portal = server._loop.portal
    content(call_modern(bob, "get_usage"))
    assert server._loop.portal is portal is not None
    process_state.start_anew()
    assert server._loop.portal is None
