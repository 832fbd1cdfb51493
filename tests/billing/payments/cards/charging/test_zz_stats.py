import collections, pytest
from billing.models import PaymentAttempt, Refund, MoneyIn
from tests.billing.payments.cards.charging.histories import History
pytestmark = pytest.mark.django_db
@pytest.mark.parametrize("seed", range(200, 240))
def test_x(buyer, seed):
    buyer.card()
    h = History(buyer, seed)
    try:
        h.run(steps=20)
        mid = collections.Counter(PaymentAttempt.objects.values_list("state", flat=True))
        h.heal(); h.check()
    finally:
        print(seed, h.log)
        print("  MID", dict(mid), "END", dict(collections.Counter(PaymentAttempt.objects.values_list("state", flat=True))), "refunds", list(Refund.objects.values_list("state", flat=True)), "money", MoneyIn.objects.count())
