"""OpenAI's own client, as an agent's author uses it: against the model of our own, and a provider behind the agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import openai
import pytest
from django.db import connection
from django.utils import timezone

from billing.models import Feature, LimitOverride, ModelPrice
from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.journeys.server import Server, forget_catalogues, running
from tests.servers.openai.provider import KEY, SECRET
from tests.servers.openai.running import ModelServer, model_server
from usage.drain import drain
from usage.log.reservation_facts import OPEN
from usage.models import Reservation, UsageLog, WindowUsage

__all__ = ["model_server"]
pytestmark = pytest.mark.django_db(transaction=True)
SAID: Any = [{"role": "user", "content": "one two three"}]
ENDS_WITHIN_SECONDS = 30
QUOTA, AT_ONCE = 500, 12


def client(server: Server, customer: Customer, **options: Any) -> openai.OpenAI:
    base = f"{server.url}/api/v1/agent/query"
    return openai.OpenAI(base_url=base, api_key=customer.key, max_retries=0, timeout=60, **options)


def ended(customer: Customer) -> list[Reservation]:
    """Its reservations, none of which is open."""

    def none_is_open() -> bool:
        drain.drain()
        return not Reservation.objects.filter(account=customer.account, state=OPEN).exists()

    wait_until(none_is_open, ENDS_WITHIN_SECONDS, "a reservation stays open")
    return list(Reservation.objects.filter(account=customer.account).order_by("opened_at", "pk"))


class TestOurOwnModel:
    def test_a_whole_answer(self, server: Server, dave: Customer) -> None:
        answer = client(server, dave).chat.completions.create(model="m-large", messages=SAID, max_tokens=50)
        assert answer.choices[0].message.content == "one two three"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)
        (row,) = ended(dave)
        assert (row.model, row.units["output"], row.outcome) == ("m-large", 3, "complete")

    def test_a_stream_with_its_usage(self, server: Server, dave: Customer) -> None:
        asked = client(server, dave, default_headers={"Usage-Run": "r-1"})
        stream = asked.chat.completions.create(
            model="m-large",
            messages=SAID,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"chunks": 20},
        )
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert len(text.split()) == 20
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 20
        (row,) = ended(dave)
        assert (row.run, row.units["output"], row.outcome) == ("r-1", 20, "complete")

    def test_a_stream_that_is_left(self, server: Server, dave: Customer) -> None:
        with client(server, dave).chat.completions.create(
            model="m-large", messages=SAID, stream=True, extra_body={"chunks": 500, "chunk_ms": 40}
        ) as stream:
            for _ in range(5):
                next(stream)
        (row,) = ended(dave)
        assert row.outcome == "aborted"
        assert 4 <= row.units["output"] < 500

    def test_a_stream_that_fails_raises(self, server: Server, dave: Customer) -> None:
        stream = client(server, dave).chat.completions.create(
            model="m-large", messages=SAID, stream=True, extra_body={"chunks": 20, "fail_after": 5}
        )
        with pytest.raises(openai.APIError, match="failed") as failed:
            list(stream)
        assert failed.value.code == "upstream_failed"
        (row,) = ended(dave)
        assert (row.outcome, row.units["output"]) == ("failed", 5)

    def test_tools_are_charged_as_children(self, server: Server, dave: Customer) -> None:
        said: Any = [{"role": "user", "content": "use tools"}]
        client(server, dave).chat.completions.create(model="m-large", messages=said)
        rows = {row.feature: row for row in ended(dave)}
        assert (rows["trace_start"].charged, rows["graph_query"].charged) == (10, 3)
        assert rows["trace_start"].parent_id == rows["ai_agent_query"].pk

    def test_refusals_are_its_own_exceptions(self, server: Server, dave: Customer, bob: Customer) -> None:
        with pytest.raises(openai.BadRequestError) as unknown:
            client(server, dave).chat.completions.create(model="m-none", messages=SAID)
        assert (unknown.value.code, "m-none" in str(unknown.value.body)) == ("invalid", True)
        with pytest.raises(openai.PermissionDeniedError):
            client(server, bob).chat.completions.create(model="m-large", messages=SAID)
        dave.key = "mk_live_x"
        with pytest.raises(openai.AuthenticationError):
            client(server, dave).chat.completions.create(model="m-large", messages=SAID)


class TestAProvider:
    @pytest.fixture
    def forwarding(self, catalogue: None, model_server: ModelServer) -> Iterator[Server]:
        told = {"AGENT_UPSTREAM_URL": model_server.url, "AGENT_UPSTREAM_KEY": KEY}
        with running(connection.settings_dict["NAME"], **told) as server:
            forget_catalogues()
            yield server

    def test_it_answers_streams_breaks_off_and_is_left(
        self, forwarding: Server, dave: Customer, model_server: ModelServer
    ) -> None:
        completions = client(forwarding, dave).chat.completions
        told = {"prompt": "3000", "cached": "2000", "words": "100", "reasoning": "150"}
        units = {"input": 1000, "cache_read": 2000, "cache_write": None, "output": 250}

        answer = completions.create(model="m-large", messages=SAID, metadata=told)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 3000
        chunks = list(completions.create(model="m-large", messages=SAID, metadata=told, stream=True))
        assert len(chunks) == 101
        broken = completions.create(
            model="m-large", messages=SAID, stream=True, metadata={"words": "90", "end_after": "40"}
        )
        with pytest.raises(openai.APIError, match="broke off") as failed:
            list(broken)
        with completions.create(
            model="m-large", messages=SAID, stream=True, metadata={"words": "500", "ms": "40"}
        ) as left:
            for _ in range(5):
                next(left)
        with pytest.raises(openai.InternalServerError) as refused:
            completions.create(model="m-large", messages=SAID, metadata={"status": "500"})

        whole, streamed, died, aborted, nothing = ended(dave)
        assert (whole.units, whole.charged, streamed.units, streamed.charged) == (units, 5, units, 5)
        assert (died.outcome, died.estimated, died.units["output"]) == ("failed", True, 68)  # 270 bytes
        assert (aborted.outcome, aborted.estimated) == ("aborted", True)
        assert 6 <= aborted.units["output"] < 500
        assert (nothing.outcome, nothing.charged) == ("failed", 0)
        logged = sum(UsageLog.objects.filter(account=dave.account).values_list("tokens", flat=True))
        assert logged == sum(row.charged or 0 for row in (whole, streamed, died, aborted))
        wait_until(lambda: model_server.left() == 1, ENDS_WITHIN_SECONDS, "the provider goes on for nobody")
        for told_to_callers in (str(failed.value), str(refused.value)):
            assert KEY not in told_to_callers and SECRET not in told_to_callers
        assert dave.key not in str(model_server.asked())

    def test_streams_that_outgrow_their_bounds_at_once_stay_within_the_quota(
        self, forwarding: Server, erin: Customer
    ) -> None:
        """Each is reserved ten units, and its provider goes on: heartbeats of two processes share what is left."""
        LimitOverride.objects.create(account=erin.user, limit="quota", maximum=QUOTA)
        feature = Feature.objects.get(code="ai_agent_query")
        rates = {"input": 0, "cache_read": 0, "cache_write": 0, "output": 1_000_000}  # an output unit costs a token
        ModelPrice.objects.create(
            model="m-exact", feature=feature, valid_from=timezone.now() - timedelta(days=1), **rates
        )
        forget_catalogues()

        def converse(_: int) -> str:
            try:
                told = {"words": "100", "ms": "5"}
                stream = client(forwarding, erin).chat.completions.create(
                    model="m-exact", messages=SAID, stream=True, max_tokens=10, metadata=told
                )
                for _chunk in stream:
                    pass
            except openai.APIError as error:
                return str(error.code)
            return "complete"

        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = Counter(pool.map(converse, range(AT_ONCE)))
        assert set(ends) <= {"complete", "bound_exceeded", "quota_exceeded"}
        assert ends["bound_exceeded"] and sum(ends.values()) == AT_ONCE
        rows = ended(erin)
        logged = sum(UsageLog.objects.filter(account=erin.account).values_list("tokens", flat=True))
        counted = sum(WindowUsage.objects.filter(account_id=erin.account).values_list("tokens", flat=True))
        assert logged == counted == sum(row.charged or 0 for row in rows) <= QUOTA
