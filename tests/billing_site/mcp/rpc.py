"""JSON-RPC as MCP clients send it, in both generations of the protocol, through a test client."""

from __future__ import annotations

from typing import Any

from tests.cast import Customer

PATH = "/api/v1/mcp"
MODERN = "2026-07-28"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def message(method: str, params: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} | members


def send(customer: Customer, body: Any, **headers: str) -> Any:
    """What is answered to a client of the handshake's generation, or to whatever `body` is."""
    return customer.post(PATH, body, **ACCEPT, **headers)


def call(customer: Customer, tool: str, arguments: dict[str, Any] | None = None, **headers: str) -> Any:
    """The response to a call of a tool."""
    return send(customer, message("tools/call", {"name": tool, "arguments": arguments or {}}), **headers)


def call_modern(customer: Customer, tool: str, arguments: dict[str, Any] | None = None, **headers: str) -> Any:
    """The same without a handshake, as protocol 2026-07-28 has it."""
    params = {"name": tool, "arguments": arguments or {}, "_meta": ENVELOPE}
    routed = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    return send(customer, message("tools/call", params), **routed | headers)


def result(response: Any) -> dict[str, Any]:
    """The result of a call that has not failed."""
    assert response.status_code == 200, response.content[:500]
    body = response.json()
    assert not body["result"].get("isError"), body
    return dict(body["result"])


def content(response: Any) -> Any:
    """What a tool answered, as an object."""
    return result(response)["structuredContent"]


def failure(response: Any) -> str:
    """What a tool says that has failed; the HTTP answer is a success all the same."""
    assert response.status_code == 200, response.content[:500]
    failed = response.json()["result"]
    assert failed["isError"] is True
    return str(failed["content"][0]["text"])


def error(response: Any, status: int) -> dict[str, Any]:
    """The JSON-RPC error of a response with this status."""
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"].startswith("application/json")
    return dict(response.json()["error"])


def names(response: Any) -> list[str]:
    return [tool["name"] for tool in result(response)["tools"]]
