"""What a host product calls to have its own views charged, and to ask and charge beside them: docs/your-own-views.md.

    from billing_site.metered import metered, requires, track, check, plan_of, standing, reserve

It is all that a host imports. What cannot be done is raised: NotAdmitted says why a call is refused (a view that lets
it pass answers as the gateway does), FeatureNotSold that the catalogue has no such feature, Unavailable that no
decision can be made now. `account` is a user, or its id. All of it waits for an engine: call it with `sync_to_async`
in an async view.
"""

from billing.entitlements.callers import BadCredentials
from billing_site.metered.accounts import Tracked, check, plan_of, reserve, standing, track
from billing_site.metered.decorators import metered, requires
from usage.metering.admit import FeatureNotSold, Unavailable
from usage.metering.reservations.refusals import NotAdmitted, ReservationRefused

__all__ = [
    "BadCredentials",
    "FeatureNotSold",
    "NotAdmitted",
    "ReservationRefused",
    "Tracked",
    "Unavailable",
    "check",
    "metered",
    "plan_of",
    "requires",
    "reserve",
    "standing",
    "track",
]
