"""Why a subscription is not opened, changed or released."""

from __future__ import annotations

from billing.rules.refused import Refused


class PlanChangeRefused(Refused):
    """The change is not made, and nothing was changed."""


class NoSubscription(PlanChangeRefused):
    """The account has none, and none is opened: no plan is marked as the default, or the user is deactivated."""

    code = "no_subscription"


class NotOnSale(PlanChangeRefused):
    code = "not_on_sale"


class NotAnUpgrade(PlanChangeRefused):
    """Parameters: the names of the plans `target` and `current`."""

    code = "not_an_upgrade"


class NotADowngrade(PlanChangeRefused):
    """Parameters: the names of the plans `target` and `current`."""

    code = "not_a_downgrade"


class AlreadyOnPlan(PlanChangeRefused):
    """Parameters: `account`, and the name of the `plan`."""

    code = "already_on_plan"


class StartRefused(PlanChangeRefused):
    """Staff cannot start the subscription so.

    `reason`: `has_plan` that is paid for, or `deactivated`; of the day `future`, `too_early` or `overlaps`; of the
    trial `had_trial`, `trial_over` or `nothing_to_try`; of the price `above_list_price`.
    """

    code = "start_refused"


class NothingScheduled(PlanChangeRefused):
    code = "nothing_scheduled"


class NothingToCancel(PlanChangeRefused):
    """The account is on the default `plan`, which is what would follow."""

    code = "nothing_to_cancel"


class NothingToTopUp(PlanChangeRefused):
    """The tokens of the `plan` are unlimited."""

    code = "nothing_to_top_up"


class CouponInvalid(PlanChangeRefused):
    """The account cannot redeem the coupon.

    `reason`: `unknown`, `expired`, `used_up` by others, `already_redeemed` by this account, or `another_active`.
    """

    code = "coupon_invalid"


class NoCoupon(PlanChangeRefused):
    """No coupon discounts periods to come."""

    code = "no_coupon"


class NoOverage(PlanChangeRefused):
    """The present period of the `plan` sells no tokens above the quota."""

    code = "no_overage"


class NotParked(PlanChangeRefused):
    code = "not_parked"


class QuoteExpired(PlanChangeRefused):
    """The amounts that were shown do not hold, or not any more.

    `reason`: `future` or `old` by the clock; `period`, `price`, `tax`, `subscription`, `coupon` or `credit` for what
    was changed since; `digest` where it is only known that something was; `unseen` where nothing was shown.
    """

    code = "quote_expired"


class UnderReview(PlanChangeRefused):
    """Staff have to look first. `reason`: the subscription is `parked`, or the `invoice` of the change looks wrong."""

    code = "under_review"


class ActiveFeatures(PlanChangeRefused):
    """`capabilities` in active use that the target plan lacks, sorted."""

    code = "active_features"

    def __init__(self, capabilities: list[str]) -> None:
        super().__init__(capabilities=capabilities)
        self.capabilities = capabilities


class ActivityUnknown(Refused):
    """It is not known at the moment which features are in active use, and will be later. Parameter: `why`."""

    code = "activity_unknown"

    def __init__(self, why: str) -> None:
        super().__init__(why=why)
