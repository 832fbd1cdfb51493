from tests.billing.payments.cards.buyer import buyer

__all__ = ["buyer"]
