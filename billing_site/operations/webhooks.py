"""How webhooks are, read when /metrics is scraped."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric

from billing.webhooks.figures import COUNTED, figures


def gauges(now: datetime) -> Iterable[Metric]:
    found = figures(now)
    states = GaugeMetricFamily("metered_webhook_endpoints", "Endpoints of webhooks, by how they are.", labels=["state"])
    states.add_metric(["enabled"], found.endpoints - found.failing)
    states.add_metric(["failing"], found.failing)
    states.add_metric(["stopped"], found.stopped)
    yield states
    said = f"Deliveries that are not at their end; {COUNTED} means so many or more."
    yield GaugeMetricFamily("metered_webhooks_waiting", said, found.waiting)
    said = "How long the delivery that is due first has waited for a sender."
    yield GaugeMetricFamily("metered_webhooks_overdue_seconds", said, found.overdue_seconds)
