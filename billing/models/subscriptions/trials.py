"""What a subscription knows of its trial."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.utils.functional import cached_property

from billing.models.catalogue.plans import Plan
from billing.payment_methods import accounts_with_payment_method
from billing.rules.periods import Period

NOTICE = timedelta(days=3)
"""Before its end a trial is said to end soon; a trial of this length or less is not."""


class Trial(models.Model):
    """Part of a subscription: the only trial that its account ever has. It is known for ever, however it ended."""

    if TYPE_CHECKING:  # of the whole row
        account_id: int
        period_ends_at: datetime
        scheduled_plan_id: int | None

    trial_ends_at = models.DateTimeField(null=True, blank=True, help_text="The account's only trial ends here, or did.")
    trial_needs_payment_method = models.BooleanField(
        default=False, db_default=False, help_text="As the plan said when the trial began."
    )
    trial_notice_at = models.DateTimeField(
        null=True, editable=False, help_text="When to say that the trial ends soon; none once it was said."
    )

    class Meta:
        abstract = True

    def begin_trial(self, plan: Plan, period: Period) -> None:
        """A plan that is the default asks for no payment method, since it is what would follow without one."""
        self.trial_ends_at = period.end
        self.trial_needs_payment_method = plan.trial_needs_payment_method and not plan.is_default
        self.trial_notice_at = period.end - NOTICE if period.end - period.start > NOTICE else None

    def cut_trial(self, at: datetime) -> None:
        """Let it have ended at an instant, where it has not before."""
        if self.trial_ends_at is not None:
            self.trial_ends_at, self.trial_notice_at = min(self.trial_ends_at, at), None

    @property
    def is_on_trial(self) -> bool:
        """Whether its last period is its trial."""
        return self.trial_ends_at is not None and self.trial_ends_at == self.period_ends_at

    @property
    def needs_payment_method(self) -> bool:
        """Whether its trial is followed by its plan only with one; what was scheduled instead follows without."""
        return self.is_on_trial and self.trial_needs_payment_method and self.scheduled_plan_id is None

    @property
    def lacks_payment_method(self) -> bool:
        return self.needs_payment_method and not self.has_payment_method

    @cached_property
    def has_payment_method(self) -> bool:
        """Whether its account had one when its trial ended, or has one while it runs. A batch is asked at once."""
        assert self.trial_ends_at is not None
        return self.account_id in accounts_with_payment_method({self.account_id: self.trial_ends_at})
