"""Refused calls over HTTP: none is forgotten by a server that is asked to end."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models import Sum

from tests.billing.waiting import until
from tests.cast import Customer
from tests.journeys.server import running
from usage.models import RefusedCalls

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_server_that_ends_adds_what_it_has_counted(bob: Customer) -> None:
    with running(connection.settings_dict["NAME"]) as server:
        session = server.session(bob.key)
        statuses = [session.get(f"{server.url}/api/v1/agent/query", timeout=60).status_code for _ in range(20)]
    assert statuses == [403] * 20
    rows = RefusedCalls.objects.filter(account_id=bob.account, feature="ai_agent_query", reason="feature_not_in_plan")
    until(lambda: rows.aggregate(calls=Sum("calls"))["calls"] == 20)
