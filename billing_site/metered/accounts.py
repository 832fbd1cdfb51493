"""Asks and charges for an account outside of a view's own call: in a task, a consumer, a page.

The same functions answer as behind `/api/v1/usage/…`. None of it counts against the minute, which is of requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone

from billing.entitlements.callers import Caller
from billing.rules.entitlements.plan_offers import PlanOffer
from usage.api.serializers import TrackRequest
from usage.api.views import check_feature, current_usage
from usage.log import events
from usage.metering import admit, voiding
from usage.metering.admission import Admission
from usage.metering.call import ChargeRequest
from usage.metering.reservations import in_view
from usage.metering.reservations.in_view import ViewReservation
from usage.metering.reservations.refusals import NotAdmitted


@dataclass(frozen=True, slots=True)
class Tracked:
    """A charge that was made. `event` names it in the usage log; `remaining` is what the quota has left, None: all."""

    account: int
    event: str
    tokens: int
    remaining: int | None

    def give_back(self) -> None:
        """The work has failed: take the charge back, once, within an hour. Raises as voiding.void_tracked_charge."""
        voiding.void_tracked_charge(self.account, UUID(self.event), timezone.now())


def track(account: Any, feature: str, metadata: dict[str, Any] | None = None) -> Tracked:
    """Charge the account for a call of the feature, as POST /usage/track does.

    Raises NotAdmitted, FeatureNotSold, Unavailable; BadCredentials for a user who is deactivated; ValidationError for
    metadata that cannot be stored.
    """
    given = TrackRequest(data={"feature": feature} | ({} if metadata is None else {"metadata": metadata}))
    given.is_valid(raise_exception=True)
    admission = admit.admit(
        Caller(_id_of(account)),
        lambda catalogue: ChargeRequest(
            admit.feature_of(feature, catalogue), events.TRACK, given.validated_data.get("metadata"), counts=False
        ),
    )
    if not admission.admitted:
        raise NotAdmitted(admission)
    return Tracked(_id_of(account), admission.decision.event, admission.cost, admission.quota.remaining)


def check(account: Any, feature: str) -> dict[str, Any]:
    """Whether a call of the feature would be admitted now, as POST /usage/check says it. Raises FeatureNotSold."""
    admission = _standing(account)
    admit.feature_of(feature, admission.snapshot.catalogue)
    return check_feature(feature, admission)


def plan_of(account: Any) -> PlanOffer:
    """The plan that is served now: its `code`, `name`, `capabilities`; of an account without one, all are empty."""
    return _standing(account).snapshot.entitlement.plan


def standing(account: Any) -> dict[str, Any]:
    """What is used and left of the present window, as GET /usage/current says it."""
    return current_usage(_standing(account))


def reserve(account: Any, feature: str, **asked: Any) -> ViewReservation:
    """Hold what the work may cost at most, before it: `model` and `units`, or `tokens`; `run`, `expires_in` seconds.

    `settle` or `release` it; forgotten, it expires. Within a view it is `request.admission.reserve`. Raises
    ReservationRefused, of which NotAdmitted is one, WrongUnits, and what admitting a call raises.
    """
    return in_view.reserve_alone(Caller(_id_of(account)), feature, **asked)


def _standing(account: Any) -> Admission:
    return admit.standing(_id_of(account), timezone.now())


def _id_of(account: Any) -> int:
    return int(getattr(account, "pk", account))
