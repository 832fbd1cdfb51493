"""What holds of every deposit address, whatever happened: law C1, and that the ledger says the same."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Sum
from django.utils import timezone

from billing.models import ChainTransfer, DepositAddress, MoneyIn, TransferCredit
from billing.payments.chains.recording import watched_closely
from billing.payments.reversals import left
from tests.chains import Shop


def assert_settled(shop: Shop) -> None:
    """The contract itself is asked what each address holds where it was read to: nobody has moved anything away."""
    chain = shop.fresh()
    assert chain.cursor_number is not None and chain.swept_number is not None
    close = watched_closely(chain, timezone.now())
    for address in DepositAddress.objects.all():
        read_to = chain.cursor_number if address.address in close else chain.swept_number
        holds = shop.money.balance(address.address, read_to)
        rows = ChainTransfer.objects.filter(address=address, state="credited")
        assert (rows.aggregate(sum=Sum("units"))["sum"] or 0) == holds
        for row in rows:
            assert row.block_hash == shop.money.hash_of(row.block_number), "credited, and no part of the chain"
        worth = Decimal(holds // 10**4) / 100
        assert (TransferCredit.objects.filter(address=address).aggregate(sum=Sum("amount"))["sum"] or 0) == worth
        told = MoneyIn.objects.filter(source=chain.caip2, reference__startswith=f"{address.address}/")
        assert sum(left(money) for money in told) == worth
