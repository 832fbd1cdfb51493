"""A worker that is killed at any point of a charge: the invoice is charged once, and its money comes in once."""

from __future__ import annotations

import pytest

from tests.billing.payments.cards.buyer import CHARGES
from tests.effort import effort
from tests.processes import walked
from tests.servers.card.running import KEY, CardServer
from tests.servers.card.telling import SECRET

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.no_cover]


def test_killed_at_any_point_it_is_charged_once(card_server: CardServer, catalogue: None) -> None:
    configured = {
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": card_server.url,
    }
    walk = "tests.billing.payments.cards.charging.kill_walk"
    points = walked(walk, "1", str(effort(5, 1)), seconds=900, **configured)
    assert len(points) > effort(8, 40), "too few points were walked"
    for number, point in enumerate(points, start=1):
        assert point["status"] == "paid" and point["attempts"] == ["succeeded"], f"point {number}"
        assert point["came"] == ["49.0000"], f"point {number}"
    assert len([each for each in card_server.asked() if each == CHARGES]) == len(points)
