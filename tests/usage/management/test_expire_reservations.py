"""manage.py expire_reservations"""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from ratelimit.servers.single import RedisUnreachable
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.outages import redis_gone
from tests.usage.metering.reservations.held import reserve, row

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db


def test_it_finishes_what_is_due_and_says_how_many(bob: Customer) -> None:
    with moved_by_hand() as clock:
        held = reserve(bob, 9, expires_in=60)
        said = []
        for _ in range(3):
            out = StringIO()
            call_command("expire_reservations", stdout=out)
            said.append(out.getvalue().strip())
            clock.tick(60)
        assert said == ["none was due", "1 expired", "none was due"]
        assert row(held).state == "expired"


def test_where_it_cannot_look_it_does_not_say_that_none_was_due(bob: Customer, redis_gone: None) -> None:
    out = StringIO()
    with pytest.raises(RedisUnreachable):
        call_command("expire_reservations", stdout=out)
    assert out.getvalue() == ""
