"""What keys begin with, and how a pasted one is found."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from billing.entitlements import api_keys, callers
from billing.entitlements.callers import BadCredentials
from billing.models import ApiKey
from tests.cast import Customer

pytestmark = pytest.mark.django_db


class TestPrefix:
    def test_keys_of_every_time_stay_valid(self, bob: Customer) -> None:
        texts = []
        for lead in ("", "mk_live_", "acme-test_"):
            with override_settings(API_KEY_PREFIX=lead):
                texts.append(ApiKey.issue(account=bob.user, name="x")[1])
        for text in texts:
            found = callers.look_up(text)
            assert (found.account, len(found.prefix)) == (bob.account, 8)
            assert ApiKey.objects.get_from_key(text).prefix == found.prefix
        with pytest.raises(BadCredentials, match="unknown"):
            callers.look_up("other_" + texts[0])

    @pytest.mark.parametrize("pasted", ["{}", "  {}\n", "Bearer {}"])
    def test_a_pasted_key_is_found_by_one_look_up(
        self, bob: Customer, pasted: str, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1):
            found = api_keys.find_by_key(pasted.format(bob.key))
        assert found is not None and found.account_id == bob.account
        with django_assert_num_queries(0):
            assert api_keys.find_by_key("bob@example.com") is None
            assert api_keys.find_by_key("x" * 10_000) is None
