"""What was used: the audit log, the sums that are kept from it, and what keeps both right."""

from usage.models.log import ReceivedEvent, RetiredMonth, SetAsideEntry, UsageLog, UsageReset
from usage.models.operations import IdempotencyRecord, Reconciliation, RedisOutage
from usage.models.reservations import Reservation
from usage.models.sums import DailyUsage, FeatureUsage, RefusedCalls, ThresholdCrossed, WindowUsage

__all__ = [
    "DailyUsage",
    "FeatureUsage",
    "IdempotencyRecord",
    "ReceivedEvent",
    "Reconciliation",
    "RedisOutage",
    "RefusedCalls",
    "Reservation",
    "RetiredMonth",
    "SetAsideEntry",
    "ThresholdCrossed",
    "UsageLog",
    "UsageReset",
    "WindowUsage",
]
