"""Staff at what was used."""

from usage.admin import log, operations, resets

__all__ = ["log", "operations", "resets"]
