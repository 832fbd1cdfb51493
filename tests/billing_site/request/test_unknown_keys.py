"""Unknown keys: looked up once, few for each address, and never at the cost of good ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.entitlements import callers
from billing.models import ApiKey
from ratelimit import process_state
from tests.billing_site.request.test_authentication import CURRENT, call
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem

pytestmark = pytest.mark.django_db


class TestUnknownKeys:
    def queries(self, authorization: str, address: str = "10.0.0.1") -> int:
        with CaptureQueriesContext(connection) as queries:
            Client(REMOTE_ADDR=address).get(CURRENT, headers={"authorization": authorization})
        return len([query for query in queries if "billing_apikey" in query["sql"]])

    def test_an_unknown_key_is_looked_up_once(self, catalogue: None) -> None:
        assert [self.queries("Bearer aaaaaaaa.b") for _ in range(3)] == [1, 0, 0]
        assert self.queries("Bearer aaaaaaaa.c") == 1

    def test_and_again_after_a_while(self, catalogue: None) -> None:
        with moved_by_hand() as clock:
            counts = []
            for seconds in (0, 29.9, 0.2):
                clock.tick(seconds)
                counts.append(self.queries("Bearer aaaaaaaa.b"))
        assert counts == [1, 0, 1]

    def test_a_key_too_long_to_be_one_is_not_looked_up(self, catalogue: None) -> None:
        assert [self.queries(f"Bearer {'x' * length}") for length in (199, 200, 201)] == [1, 1, 0]

    def test_the_memory_of_unknown_keys_is_bounded(self, catalogue: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(callers._unknown, "size", 3)
        for number in range(5):
            self.queries(f"Bearer aaaaaaaa.{number}")
        assert len(callers._unknown) == 3
        assert [self.queries(f"Bearer aaaaaaaa.{number}") for number in (4, 3, 0)] == [0, 0, 1]

    def test_a_flood_is_stopped_by_address_before_any_look_up(
        self, alice: Customer, bob: Customer, settings: Any
    ) -> None:
        settings.UNKNOWN_KEYS_PER_MINUTE = 3
        alice.api.get(CURRENT)
        assert [self.queries(f"Bearer aaaaaaaa.{number}", "127.0.0.1") for number in range(5)] == [1, 1, 1, 0, 0]
        response = call("Bearer aaaaaaaa.9")
        problem(response, 429, "rate_limited", {"retry_after"})
        assert int(response["Retry-After"]) == response.json()["retry_after"] > 0
        process_state.start_anew()
        assert call(f"Bearer {alice.key}").status_code == 200, (
            "a good key is served all the same, also one this process has not seen"
        )
        assert self.queries("Bearer aaaaaaaa.10", "10.0.0.2") == 1, "another address"
        assert (
            Client(REMOTE_ADDR="10.0.0.2", headers={"authorization": f"Bearer {bob.key}"}).get(CURRENT).status_code
            == 200
        )

    def test_good_keys_count_for_no_flood(self, customer: Callable[..., Customer], settings: Any) -> None:
        settings.UNKNOWN_KEYS_PER_MINUTE = 1
        for name in ("u", "v", "w"):
            assert customer(name, "community").api.get(CURRENT).status_code == 200

    def test_the_wait_is_the_time_left(self, catalogue: None, settings: Any) -> None:
        settings.UNKNOWN_KEYS_PER_MINUTE = 1
        call("Bearer aaaaaaaa.1")
        waits = []
        for milliseconds in (60_000, 30_001, 1_500, 1_000, 400):
            cache.pexpire("unknown-keys:127.0.0.1", milliseconds)  # type: ignore[attr-defined]
            waits.append(call("Bearer aaaaaaaa.2")["Retry-After"])
        assert waits[0] in ("60", "59") and waits[1] in ("31", "30"), waits
        assert waits[2:] == ["2", "1", "1"]
        cache.delete("unknown-keys:127.0.0.1")
        assert call("Bearer aaaaaaaa.2").status_code == 401

    def test_a_key_that_was_revoked_expired_or_deleted_spends_nothing_either(
        self, bob: Customer, settings: Any
    ) -> None:
        settings.UNKNOWN_KEYS_PER_MINUTE = 1
        ApiKey.objects.update(revoked=True)
        ends = [call(f"Bearer {bob.key}").json()["reason"] for _ in range(3)]
        ApiKey.objects.all().delete()
        ends += [call(f"Bearer {bob.key}").json()["reason"] for _ in range(3)]
        assert ends == ["revoked"] * 3 + ["unknown"] * 3
        assert call("Bearer aaaaaaaa.1").status_code == 401

    def test_a_key_from_before_keys_bore_a_checksum_is_good_until_the_flood(self, bob: Customer, settings: Any) -> None:
        settings.UNKNOWN_KEYS_PER_MINUTE = 1
        settings.SECRET_KEY, before = "another", settings.SECRET_KEY
        assert bob.api.get(CURRENT).status_code == 200
        call("Bearer aaaaaaaa.1")
        assert bob.api.get(CURRENT).status_code == 200, "known to this process"
        process_state.start_anew()
        assert bob.api.get(CURRENT).status_code == 429
        settings.SECRET_KEY_FALLBACKS = [before]
        assert bob.api.get(CURRENT).status_code == 200, "SECRET_KEY was changed as Django has it"

    def test_behind_a_proxy_the_address_is_the_header_s(self, catalogue: None, settings: Any) -> None:
        settings.UNKNOWN_KEYS_PER_MINUTE = 1
        settings.CLIENT_ADDRESS_HEADER = "X-Real-IP"
        statuses = [call(f"Bearer aaaaaaaa.{n}", **{"X-Real-IP": ip}).status_code for n, ip in enumerate("1122")]
        assert statuses == [401, 429, 401, 429]
