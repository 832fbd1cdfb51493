"""The metrics of all web processes in Prometheus' text format: what each has counted, and the gauges."""

from __future__ import annotations

import fcntl
import os

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from billing_site.operations.gauges import Gauges
from billing_site.operations.metrics_folder import VARIABLE, locked


def exposition() -> bytes:
    gauges = CollectorRegistry()
    gauges.register(Gauges())
    return _counted() + generate_latest(gauges)


def _counted() -> bytes:
    if VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    folder = os.environ[VARIABLE]
    processes = CollectorRegistry()
    MultiProcessCollector(processes, folder)
    with locked(folder, fcntl.LOCK_SH):
        return generate_latest(processes)
