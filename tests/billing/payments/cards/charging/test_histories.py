"""Laws M1 and M2 after random histories: lost answers, 5xx, events doubled, reordered or lost, processes that die."""

from __future__ import annotations

import pytest

from tests.billing.payments.cards.buyer import Buyer
from tests.billing.payments.cards.charging.histories import History
from tests.effort import effort

pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]


@pytest.mark.parametrize("seed", range(effort(4, 300)))
def test_every_cent_is_explained_and_none_is_charged_twice(buyer: Buyer, seed: int) -> None:
    buyer.card()
    history = History(buyer, seed)
    try:
        history.run(steps=20)
        history.heal()
        history.check()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {history.log}") from error
