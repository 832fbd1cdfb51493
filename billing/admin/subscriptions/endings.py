"""How staff end a subscription: with its period, or at once with or without a credit; and how that is taken back."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from billing.admin.action_pages import ActionPages, confirmed_action, page_action
from billing.admin.invoicing.documents import amount_of, documents_shown
from billing.admin.subscriptions.offers import REFUSALS
from billing.api.sentences import to_staff
from billing.http.fields import rfc3339
from billing.models import Subscription
from billing.rules.refused import Refused
from billing.subscriptions import canceling, refusals
from billing.subscriptions.staff import ending as staff_ending
from billing.users import page, right

MAY_CHANGE = "change_subscriptions"
ENDED = "The subscription has ended."
WITH_PERIOD, NOW, NOW_WITH_CREDIT = "with_period", "now", "now_with_credit"


class EndingAdmin(ActionPages[Subscription]):
    """Each way is shown before it is taken, taken through the functions of the API, and logged."""

    def way_back(self, request: HttpRequest, row: Subscription) -> str:
        """The customer's page, which has everything of the account, for who may see it."""
        if request.user.has_perm(right("view")):
            return reverse(page("change"), args=[row.account_id])
        return super().way_back(request, row)

    @page_action("End", permission=MAY_CHANGE, icon="cancel", danger=True)
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription, now = self.live(request, object_id), timezone.now()
        try:
            if request.method == "POST":
                return self._end(request, subscription, now)
            return self._ways_to_end(request, subscription, now)
        except REFUSALS as error:
            return self.refused(request, subscription, error)

    @confirmed_action(
        "Take the cancellation back",
        "The subscription is renewed when its period ends.",
        permission=MAY_CHANGE,
        icon="undo",
    )
    def take_back(self, request: HttpRequest, subscription: Subscription) -> HttpResponse:
        if not subscription.is_live:
            raise Http404(ENDED)
        try:
            with transaction.atomic():
                canceling.withdraw(subscription.account_id, timezone.now())
                done = "Cancellation taken back: the subscription is renewed."
                self.log_change(request, subscription, done)
        except REFUSALS as error:
            return self.refused(request, subscription, error)
        return self.back(request, subscription, done)

    def _ways_to_end(self, request: HttpRequest, subscription: Subscription, now: datetime) -> HttpResponse:
        account = subscription.account_id
        without, credited = (staff_ending.preview_end(account, now, credit=credit) for credit in (False, True))
        ends_at, gone = f"{credited.period.ends_at:%Y-%m-%d %H:%M:%S} UTC", "From the next call on "
        gone += f"{credited.then} holds" if credited.then else "calls are refused"
        ways = [
            {
                "name": WITH_PERIOD,
                "title": "With its period",
                "what": f"Everything stays until {ends_at}. It can be taken back.",
                "button": "End it with its period",
            },
            {
                "name": NOW_WITH_CREDIT,
                "title": "At once, with a credit",
                "what": f"{gone}, and the rest of the period is credited.",
                "billing": documents_shown(credited.documents),
                "digest": credited.digest,
                "button": f"End it now, credit {amount_of(credited.credit, credited.period.currency)}",
                "danger": True,
            },
            {
                "name": NOW,
                "title": "At once, without a credit",
                "what": f"{gone}, and the period stays billed.",
                "billing": documents_shown(without.documents),
                "digest": without.digest,
                "button": "End it now, no credit",
                "danger": True,
            },
        ]
        about = {"period": credited.period, "then": credited.then, "shown_at": rfc3339(now)}
        title = f"End the subscription of {subscription.account}?"
        return self.page(request, subscription, "end.html", title, ways=ways, **about)

    def _end(self, request: HttpRequest, subscription: Subscription, now: datetime) -> HttpResponse:
        account, way = subscription.account_id, request.POST.get("way", "")
        try:
            with transaction.atomic():
                if way == WITH_PERIOD:
                    canceled = canceling.cancel(account, now, "by staff")
                    done = f"The subscription ends at {canceled.at:%Y-%m-%d %H:%M:%S} UTC."
                else:
                    shown_at, digest = shown_instant(request.POST.get("shown_at", "")), request.POST.get("digest", "")
                    ended = staff_ending.end_now(account, now, shown_at, digest, credit=way == NOW_WITH_CREDIT)
                    then = f"{ended.then} follows" if ended.then else "nothing follows"
                    done = f"Ended at once, credited {amount_of(ended.credit, ended.period.currency)}; {then}."
                self.log_change(request, subscription, done)
        except refusals.QuoteExpired as stale:
            messages.warning(request, to_staff(stale))
            return self._ways_to_end(request, subscription, now)
        return self.back(request, subscription, done)

    def live(self, request: HttpRequest, object_id: str) -> Subscription:
        subscription = self.existing(request, object_id)
        if not subscription.is_live:
            raise Http404(ENDED)
        return subscription

    def refused(self, request: HttpRequest, subscription: Subscription, error: Refused) -> HttpResponse:
        return self.back(request, subscription, to_staff(error), messages.ERROR)


def shown_instant(text: str) -> datetime:
    """The instant of a preview. Raises QuoteExpired for what no preview has sent."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise refusals.QuoteExpired(reason="unseen")
    return at
