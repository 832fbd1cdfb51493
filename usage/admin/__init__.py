"""Staff at what was used, and at a customer."""

from usage.admin import log, operations, reservations, resets, thresholds
from usage.admin.customers import admin as customers

__all__ = ["customers", "log", "operations", "reservations", "resets", "thresholds"]
