"""Why a change of plan is not made."""

from __future__ import annotations


class NoDefaultPlan(Exception):
    """Nobody can be put on a plan: none is marked as the default."""


class PlanChangeRefused(Exception):
    """The change cannot be made; the message says why, to the customer."""


class NotAnUpgrade(PlanChangeRefused):
    pass


class NotADowngrade(PlanChangeRefused):
    pass


class NothingScheduled(PlanChangeRefused):
    pass


class QuoteExpired(PlanChangeRefused):
    pass


class UnderReview(PlanChangeRefused):
    """The account is parked: an invoice looked wrong, and staff have to look at it first."""


class ActivityUnknown(Exception):
    """It cannot be told at the moment which features are in active use; later it can."""


class ActiveFeatures(PlanChangeRefused):
    """Capabilities in active use that the target plan lacks, sorted."""

    def __init__(self, capabilities: list[str]) -> None:
        super().__init__(f"Cannot downgrade. Active features: {', '.join(capabilities)}")
        self.capabilities = capabilities
