"""What /health and /metrics say of chains: which of them nobody sees payments on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Chain
from tests.billing_site.operations.test_views import samples

pytestmark = pytest.mark.django_db
NAME = "[eip155:1]"


@pytest.fixture
def chain(settings: Any) -> Chain:
    settings.CHAIN_XPUBS = {"1": "xpub"}
    return Chain.objects.create(
        chain_id=1,
        name="Ethereum",
        genesis_hash="0x" + "1" * 64,
        read_at=timezone.now(),
        head_number=9,
        cursor_number=4,
        cursor_hash="0x" + "2" * 64,
    )


def parts() -> Any:
    answer = Client().get("/health")
    assert answer.status_code == 200, "payments that go unseen keep nobody from being served"
    return answer.json()


def test_a_chain_that_is_read_is_well(chain: Chain) -> None:
    assert parts()["parts"]["eip155:1"] == "ok"
    found = samples()
    assert (found[f"metered_chain_stalled{NAME}"], found[f"metered_chain_parked{NAME}"]) == (0, 0)
    assert found[f"metered_chain_cursor_behind_blocks{NAME}"] == 5


def test_a_chain_that_nobody_reads_is_degraded(chain: Chain) -> None:
    Chain.objects.update(read_at=timezone.now() - timedelta(minutes=6))
    assert parts()["degraded"] == ["eip155:1"]
    assert samples()[f"metered_chain_stalled{NAME}"] == 1


def test_a_parked_chain_is_degraded(chain: Chain) -> None:
    Chain.objects.update(parked_at=timezone.now())
    assert parts()["parts"]["eip155:1"] == "parked"
    assert samples()[f"metered_chain_parked{NAME}"] == 1


def test_where_none_is_configured_nothing_is_said(chain: Chain, settings: Any) -> None:
    settings.CHAIN_XPUBS = {}
    assert set(parts()["parts"]) == {"postgres", "redis"}
    assert not [name for name in samples() if name.startswith("chain_")]
