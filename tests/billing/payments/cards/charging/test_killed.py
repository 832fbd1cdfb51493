"""A worker that is killed at any point of a charge: the invoice is charged once, and its money comes in once."""

from __future__ import annotations

import json

import pytest

from tests.billing.outbox.test_killed import process
from tests.billing.payments.cards.buyer import CHARGES
from tests.effort import effort
from tests.servers.card.running import KEY, CardServer
from tests.servers.card.telling import SECRET

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.no_cover]


def test_killed_at_any_point_it_is_charged_once(card_server: CardServer, catalogue: None) -> None:
    configured = {
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": card_server.url,
    }
    walk = ["-m", "tests.billing.payments.cards.charging.kill_walk", "1", str(effort(5, 1))]
    with process(*walk, **configured) as walking:
        output, errors = walking.communicate(timeout=900)
    assert walking.returncode == 0, errors
    points = [json.loads(line) for line in output.splitlines()]
    assert [point["killed"] for point in points] == [True] * (len(points) - 1) + [False]
    assert len(points) > effort(8, 40), "too few points were walked"
    for number, point in enumerate(points, start=1):
        assert point["status"] == "paid" and point["attempts"] == ["succeeded"], f"point {number}"
        assert point["came"] == ["49.0000"], f"point {number}"
    assert len([each for each in card_server.asked() if each == CHARGES]) == len(points)
