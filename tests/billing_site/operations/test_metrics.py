"""/metrics on what the last reconciliation has found."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.billing_site.operations.test_views import samples
from tests.cast import Customer
from tests.usage.drifting import spend
from usage import tasks
from usage.models import FeatureUsage, Reconciliation
from usage.reconciliation import reconcile

pytestmark = pytest.mark.django_db


def test_accounts_that_drift_until_they_are_repaired(bob: Customer) -> None:
    spend(bob, 1)
    assert "reconcile_drifting_accounts" not in samples()
    FeatureUsage.objects.update(tokens=11)
    tasks.reconcile_usage()
    found = samples()
    assert found["reconcile_drifting_accounts"] == 1
    finished = Reconciliation.objects.get().finished_at.timestamp()
    assert found["reconcile_finished_timestamp_seconds"] == pytest.approx(finished)
    reconcile.reconcile(timezone.now(), lambda _: None, repairing=True)
    assert samples()["reconcile_drifting_accounts"] == 0
