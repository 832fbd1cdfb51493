import pytest

from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from tests.billing.payments.cards.buyer import buyer
from tests.servers.card.running import CardServer

__all__ = ["buyer"]


@pytest.fixture
def gateway(card_server: CardServer) -> Gateway:
    """Stripe's client, at the test provider."""
    gateway = card_gateway()
    assert gateway is not None
    return gateway
