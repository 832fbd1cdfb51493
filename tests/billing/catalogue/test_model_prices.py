"""Prices of models as rows: from when they hold, that they stay as they are, and that every worker hears of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from billing.catalogue import in_memory
from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from billing.models import Feature, ModelPrice
from billing.rules.tokens.model_prices import ModelRates, cost
from ratelimit import keys
from tests.redis_commands import version_in_redis

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("catalogue")]
AT = "ai_agent_query"
DAY = timedelta(days=1)


def sell(model: str = "m-new", **values: Any) -> ModelPrice:
    rates = {"input": 1_000, "cache_read": 100, "cache_write": 1_250, "output": 4_000}
    row = ModelPrice(model=model, feature=Feature.objects.get(code=AT), **rates | values)
    row.full_clean()
    row.save()
    return row


def rates(model: str, at: Any, feature: str = AT) -> ModelRates | None:
    return in_memory.reload_catalogue(fence_version(CATALOGUE)).rates(feature, model, at)


class TestInForce:
    def test_the_default_catalogue_sells_two(self) -> None:
        large = rates("m-large", timezone.now())
        assert large is not None
        assert cost(large, {"input": 1_200, "output": 800}) == 9
        small = rates("m-small", timezone.now())
        assert small is not None
        assert cost(small, {"input": 1_200, "output": 800}) == 1

    def test_a_price_holds_until_a_later_one_does(self) -> None:
        now = timezone.now()
        rows = [sell(valid_from=now + days * DAY, output=1_000 * (days + 5)) for days in (0, 3, 1)]
        first, third, second = rows
        assert rates("m-new", now - timedelta(microseconds=1)) is None
        for at, row in ((0, first), (0.99, first), (1, second), (2.99, second), (3, third), (999, third)):
            found = rates("m-new", now + at * DAY)
            assert found == row.rates
            assert found.version == row.pk

    def test_a_model_is_one_of_its_feature_and_has_the_case_it_has(self) -> None:
        now = timezone.now()
        sell(valid_from=now)
        assert rates("m-new", now)
        assert rates("m-new", now, "trace_start") is None
        assert rates("M-new", now) is None
        assert rates("", now) is None

    def test_a_model_off_sale_is_unknown_until_it_is_sold_again(self) -> None:
        now = timezone.now()
        sell(valid_from=now)
        sell(valid_from=now + DAY, is_on_sale=False)
        again = sell(valid_from=now + 2 * DAY)
        assert rates("m-new", now + DAY) is None
        assert rates("m-new", now + 2 * DAY) == again.rates


class TestRowsStay:
    def test_nothing_of_one_is_changed(self) -> None:
        now = timezone.now()
        for row in (sell(valid_from=now - DAY), sell(valid_from=now + DAY)):
            with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
                ModelPrice.objects.filter(pk=row.pk).update(output=1)
            row.output = 1
            with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
                row.save()

    def test_one_in_force_is_not_deleted_and_one_of_the_future_is(self) -> None:
        now = timezone.now()
        past, ahead = sell(valid_from=now - DAY), sell(valid_from=now + DAY)
        with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
            ModelPrice.objects.filter(model="m-new").delete()
        with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
            past.delete()
        ahead.delete()
        assert list(ModelPrice.objects.filter(model="m-new")) == [past]

    def test_its_feature_stays_with_it(self) -> None:
        with pytest.raises(ProtectedError):
            Feature.objects.get(code=AT).delete()

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"model": "m new"}, "model"),
            ({"model": ""}, "model"),
            ({"output": -1}, "output"),
            ({"input": 10**9 + 1}, "input"),
        ],
    )
    def test_what_no_row_can_be(self, values: dict[str, Any], field: str) -> None:
        from django.core.exceptions import ValidationError

        with pytest.raises(ValidationError) as error:
            sell(**values)
        assert list(error.value.error_dict) == [field]

    def test_two_prices_from_one_instant_are_one_too_many(self) -> None:
        now = timezone.now()
        sell(valid_from=now)
        rates = {"input": 1, "cache_read": 1, "cache_write": 1, "output": 1}
        with pytest.raises(IntegrityError, match="model_price_once"), transaction.atomic():
            ModelPrice.objects.create(model="m-new", feature=Feature.objects.get(code=AT), valid_from=now, **rates)


@pytest.mark.django_db(transaction=True)
def test_every_worker_hears_of_a_new_price_and_of_one_that_is_taken_back() -> None:
    before = fence_version(CATALOGUE)
    row = sell(valid_from=timezone.now() + DAY)
    assert version_in_redis(keys.catalogue_fence(0)) == fence_version(CATALOGUE) > before
    before = fence_version(CATALOGUE)
    row.delete()
    assert version_in_redis(keys.catalogue_fence(0)) == fence_version(CATALOGUE) > before
