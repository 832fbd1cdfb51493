"""Agents at a real server: the official client in both generations of the protocol, and what it makes of refusals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from mcp import Client, MCPError

from billing.models import ApiKey, Feature, Plan
from billing_site.local.engines.process import wait_until
from tests.billing_site.mcp.rpc import ACCEPT, message
from tests.cast import Customer
from tests.journeys.mcp_client import GENERATIONS, connected, error_of, raised
from tests.journeys.server import CHECKOUT, Server, environment, open_files, running

pytestmark = pytest.mark.django_db(transaction=True)
SCORE = {"address": "0xabc"}
READ_ONLY = {
    *("get_usage", "get_breakdown", "list_plans", "list_features", "get_subscription", "list_invoices"),
    *("estimate_cost", "check", "preview_change"),
}
SANDBOX = {"risk_score", "wallet_scan"}


def over_http(server: Server, customer: Customer, path: str) -> Any:
    return server.session(customer.key).get(f"{server.url}/api/v1/{path}", timeout=60).json()


def post(server: Server, customer: Customer, tool: str, arguments: dict[str, Any], **headers: str) -> Any:
    body = message("tools/call", {"name": tool, "arguments": arguments})
    session = server.session(customer.key)
    return session.post(f"{server.url}/api/v1/mcp", json=body, headers=ACCEPT | headers, timeout=120)


@pytest.mark.parametrize("mode", GENERATIONS)
class TestOfficialClient:
    def test_it_finds_the_tools(self, server: Server, bob: Customer, mode: str) -> None:
        async def use(client: Client) -> Any:
            return await client.list_tools()

        listed = connected(server, bob.key, mode, use)
        assert {tool.name for tool in listed.tools} >= READ_ONLY | SANDBOX
        (score,) = (tool for tool in listed.tools if tool.name == "risk_score")
        assert "Costs 2 tokens." in (score.description or "")
        assert (listed.ttl_ms, listed.cache_scope) == ((300_000, "private") if mode == "auto" else (0, "private"))

    def test_what_it_reads_is_what_http_says(self, server: Server, bob: Customer, mode: str) -> None:
        async def use(client: Client) -> list[Any]:
            await client.call_tool("risk_score", SCORE)
            names = ("get_usage", "get_breakdown", "get_subscription", "list_plans", "list_features")
            return [(await client.call_tool(name)).structured_content for name in names]

        usage, breakdown, subscription, plans, features = connected(server, bob.key, mode, use)
        assert usage == over_http(server, bob, "usage/current")
        assert breakdown == over_http(server, bob, "usage/breakdown") == {"risk_score": 2, "total": 2}
        assert subscription == over_http(server, bob, "billing/subscription")
        assert plans["plans"] == over_http(server, bob, "plans")["results"]
        assert sorted(features["features"], key=str) == sorted(over_http(server, bob, "features")["results"], key=str)

    def test_a_metered_tool_is_charged_once_and_a_failed_one_not(
        self, server: Server, bob: Customer, mode: str
    ) -> None:
        async def use(client: Client) -> list[Any]:
            return [
                await client.call_tool("risk_score", SCORE),
                await client.call_tool("wallet_scan", {"address": "unknown"}),
                await client.call_tool("wallet_scan", {"depth": 2}),
                await error_of(client.call_tool("nothing")),
            ]

        scored, failed, wrong, unknown = connected(server, bob.key, mode, use)
        assert [scored.is_error, failed.is_error, wrong.is_error] == [False, True, True]
        assert unknown.error.message == "There is no such tool; tools/list has those there are."
        assert over_http(server, bob, "usage/current")["tokens_used"] == 2

    def test_it_can_read_a_refusal_and_when_to_come_again(self, server: Server, alice: Customer, mode: str) -> None:
        Feature.objects.filter(code="risk_score").update(tokens=60)

        async def use(client: Client) -> list[Any]:
            await client.call_tool("risk_score", SCORE)
            of_quota = await error_of(client.call_tool("risk_score", SCORE))
            while True:
                try:
                    await client.call_tool("get_usage")
                except Exception as error:
                    return [of_quota, error]

        of_quota, of_minute = connected(server, alice.key, mode, use)
        assert (of_quota.error.code, of_quota.error.message) == (
            -32000,
            "Monthly quota exceeded. Please upgrade your plan.",
        )
        assert of_quota.error.data["upgrade_url"] == "/dashboard/"
        refused = of_minute.error.data
        assert (refused["code"], refused["violated-policies"]) == ("rate_limited", ["minute"])
        assert 1 <= refused["retry_after"] <= 60

    def test_what_a_connection_costs_of_the_minute(self, server: Server, alice: Customer, mode: str) -> None:
        async def use(client: Client) -> int:
            await client.list_tools()
            calls = 0
            while True:
                try:
                    await client.call_tool("get_usage")
                except MCPError:
                    return calls
                calls += 1

        # Of ten, beside the list: a handshake and its notice; or one look at the server.
        assert connected(server, alice.key, mode, use) == (7 if mode == "legacy" else 8)

    def test_a_revoked_key(self, server: Server, bob: Customer, mode: str) -> None:
        ApiKey.objects.get(account=bob.user).revoke()

        async def use(client: Client) -> Any:
            return await client.list_tools()

        with pytest.raises(BaseException) as caught:  # in groups of the client's tasks
            connected(server, bob.key, mode, use)
        assert raised(caught.value).error.data["reason"] == "revoked"


def test_parallel_agents_share_a_quota_exactly(server: Server, customer: Any) -> None:
    """Of 100 calls at once as many pass as it has room for."""
    agent = customer("agent", "enterprise")
    Plan.objects.filter(code="enterprise").update(monthly_token_quota=77)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: post(server, agent, "risk_score", SCORE), range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (38, 62)
    assert over_http(server, agent, "usage/current")["tokens_used"] == 76


def test_the_client_of_the_documentation_works_as_it_is_written(server: Server, bob: Customer) -> None:
    written = (CHECKOUT / "docs" / "agents.md").read_text()
    (script,) = [code for code in re.findall(r"```python\n(.*?)```", written, re.DOTALL) if "anyio.run" in code]
    script = script.replace("http://127.0.0.1:8000", server.url).replace("mk_live_…", bob.key)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "'risk_score'" in done.stdout and "{'score': " in done.stdout
    assert over_http(server, bob, "usage/current")["tokens_used"] == 2


def test_under_an_idempotency_key_it_is_charged_once(server: Server, bob: Customer) -> None:
    answers = [post(server, bob, "risk_score", SCORE, **{"Idempotency-Key": "one"}) for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert over_http(server, bob, "usage/current")["tokens_used"] == 2


class TestWorkers:
    def test_each_has_a_loop_of_its_own_and_none_before_it_is_needed(self, bob: Customer) -> None:
        with running(str(connection.settings_dict["NAME"])) as server:
            wait_until(lambda: [loops(pid) for pid in server.workers()] == [1, 1], 60, "a worker has more than its own")
            with ThreadPoolExecutor(8) as threads:

                def both() -> bool:
                    list(threads.map(lambda _: post(server, bob, "get_usage", {}), range(8)))
                    return [loops(pid) for pid in server.workers()] == [2, 2]

                wait_until(both, 60, "a worker gets no request")

    def test_a_stop_lets_a_call_end(self, customer: Any) -> None:
        agent = customer("agent", "enterprise")
        database = str(connection.settings_dict["NAME"])
        with running(database, "--graceful-timeout", "60") as server, ThreadPoolExecutor(1) as threads:
            assert post(server, agent, "risk_score", SCORE).status_code == 200
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("LOCK TABLE billing_plan IN ACCESS EXCLUSIVE MODE")
                waiting = threads.submit(post, server, agent, "list_plans", {})
                wait_until(lambda: locks_awaited() > 0, 60, "the call does not wait")
                os.kill(server.process.pid, signal.SIGTERM)
                wait_until(lambda: refuses(server), 60, "the server takes requests still")
            answered = waiting.result(60)
            assert (answered.status_code, len(answered.json()["result"]["structuredContent"]["plans"])) == (200, 6)
            assert server.process.wait(60) == 0


def loops(pid: int) -> int:
    """Event loops of the process, by what they wait with: the web server has one."""
    return open_files(pid).count("anon_inode:[eventpoll]")


def locks_awaited() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'billing_plan'::regclass")
        return int(cursor.fetchone()[0])


def refuses(server: Server) -> bool:
    try:
        server.connect(5).close()
    except ConnectionError:
        return True
    return False


def test_nobody_imports_the_library_before_the_first_call() -> None:
    """It takes a second, and memory that a site without agents does not need."""
    script = (
        "import sys, django; django.setup(); import billing_site.urls, billing_site.wsgi; "
        "print(*sorted({'mcp', 'mcp_types', 'starlette', 'anyio', 'jsonschema'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=CHECKOUT, env=environment("any"), check=True
    )
    assert done.stdout.strip() == ""
