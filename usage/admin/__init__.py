"""Staff at what was used."""

from usage.admin import log, operations, resets, thresholds

__all__ = ["log", "operations", "resets", "thresholds"]
