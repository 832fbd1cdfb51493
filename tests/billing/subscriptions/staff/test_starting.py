"""Subscriptions that staff start: what was shown is what is billed, and what is not safe for money is refused."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from django.contrib.auth.models import User

from billing.models import Invoice, Plan, Subscription
from billing.subscriptions.period_end import renewal
from billing.subscriptions.refusals import AlreadyOnPlan, NotOnSale, QuoteExpired, StartRefused
from billing.subscriptions.staff import starting
from billing.subscriptions.staff.starting import StartPreview, Terms
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
NOW = at("2025-10-16 12:00:00")


@pytest.fixture
def pro(catalogue: None) -> Plan:
    return Plan.objects.get(code="pro")


@pytest.fixture
def newcomer(db: None) -> User:
    return User.objects.create_user("newcomer")


@pytest.fixture
def free(catalogue: None) -> User:
    """On community since the first of the month."""
    return make_subscription(Plan.objects.get(code="community"), at("2025-10-01"), "free").account


def start(user: User, terms: Terms, now: datetime = NOW) -> StartPreview:
    return starting.start(user.pk, terms, now, starting.preview_start(user.pk, terms, now).digest)


def refused(user: User, terms: Terms, now: datetime = NOW) -> str:
    with pytest.raises(StartRefused) as refusal:
        starting.preview_start(user.pk, terms, now)
    return str(refusal.value.parameters["reason"])


def billed(user: User) -> list[object]:
    return list(Invoice.objects.filter(account=user).values_list("total", flat=True))


def test_a_preview_writes_nothing_and_the_start_does_what_it_showed(newcomer: User, pro: Plan) -> None:
    preview = starting.preview_start(newcomer.pk, Terms(pro), NOW)
    assert not Subscription.objects.filter(account=newcomer).exists()
    assert not Invoice.objects.exists()
    started = starting.start(newcomer.pk, Terms(pro), at("2025-10-16 12:05:00"), preview.digest)
    assert (started.period.starts_at, started.period.ends_at) == (
        at("2025-10-16 12:05:00"),
        at("2025-11-16 12:05:00"),
    )
    assert billed(newcomer) == [money(49)]


def test_in_the_place_of_a_free_one_a_period_begins_now(free: User, pro: Plan) -> None:
    """Charged in full, whatever the plan's upgrade mode; and one subscription, so that no quota is granted twice."""
    started = start(free, Terms(pro))
    assert started.replaces is not None
    assert started.period.starts_at == NOW
    assert billed(free) == [money(49)]
    assert Subscription.objects.get(account=free).plan == pro


def test_a_day_of_this_month_for_who_had_none(newcomer: User, pro: Plan) -> None:
    started = start(newcomer, Terms(pro, since=date(2025, 10, 3)))
    assert (started.period.starts_at, started.period.ends_at) == (at("2025-10-03"), at("2025-11-03"))
    invoice = Invoice.objects.get(account=newcomer)
    assert (invoice.total, invoice.issued_at) == (money(49), NOW), "the document is of the day on which it is issued"


def test_days_on_which_none_starts(newcomer: User, free: User, pro: Plan) -> None:
    assert refused(newcomer, Terms(pro, since=date(2025, 10, 17))) == "future"
    assert refused(newcomer, Terms(pro, since=date(2025, 9, 30))) == "too_early"
    assert refused(free, Terms(pro, since=date(2025, 10, 3))) == "overlaps"
    ended = make_subscription(pro, at("2025-09-01"), "gone").account
    Subscription.objects.filter(account=ended).update(status="canceled", ended_at=at("2025-10-05"))
    assert refused(ended, Terms(pro, since=date(2025, 10, 4))) == "overlaps"
    start(ended, Terms(pro, since=date(2025, 10, 5)))


def test_an_own_price_is_kept_and_never_higher(newcomer: User, pro: Plan) -> None:
    assert refused(newcomer, Terms(pro, own_price=money(50))) == "above_list_price"
    start(newcomer, Terms(pro, own_price=money(20)))
    pro.price = money(99)
    pro.save()
    renewal.renew_due(at("2025-11-16 12:00:01"))
    assert billed(newcomer) == [money(20), money(20)]


@pytest.mark.parametrize("who", ["newcomer", "free"])
def test_a_trial_is_free_and_followed_by_the_own_price(request: pytest.FixtureRequest, who: str, pro: Plan) -> None:
    user = request.getfixturevalue(who)
    started = start(user, Terms(pro, own_price=money(20), trial_days=10))
    assert started.period.is_trial
    assert started.period.ends_at == at("2025-10-26 12:00:00")
    assert billed(user) == []
    renewal.renew_due(at("2025-10-26 12:00:01"))
    assert billed(user) == [money(20)]


def test_trials_that_are_refused(newcomer: User, free: User, pro: Plan) -> None:
    community = Plan.objects.get(code="community")
    assert refused(newcomer, Terms(community, trial_days=5)) == "nothing_to_try"
    assert refused(newcomer, Terms(pro, since=date(2025, 10, 3), trial_days=13)) == "trial_over"
    Subscription.objects.filter(account=free).update(trial_ends_at=at("2025-10-02"))
    assert refused(free, Terms(pro, trial_days=5)) == "had_trial"


def test_who_pays_already_is_refused(pro: Plan, free: User) -> None:
    payer = make_subscription(Plan.objects.get(code="starter"), at("2025-10-01"), "payer").account
    assert refused(payer, Terms(pro)) == "has_plan"
    with pytest.raises(AlreadyOnPlan):
        start(free, Terms(Plan.objects.get(code="community")))
    pro.archived_at = NOW
    pro.save()
    with pytest.raises(NotOnSale):
        start(free, Terms(pro))
    free.is_active = False
    free.save()
    assert refused(free, Terms(make_plan("gold", 7))) == "deactivated"


def test_what_was_changed_since_is_not_billed(newcomer: User, pro: Plan) -> None:
    """A price, a limit, or a subscription that was opened meanwhile."""
    digest = starting.preview_start(newcomer.pk, Terms(pro), NOW).digest
    pro.price = money(59)
    pro.save()
    with pytest.raises(QuoteExpired):
        starting.start(newcomer.pk, Terms(pro), NOW, digest)
    digest = starting.preview_start(newcomer.pk, Terms(pro), NOW).digest
    with pytest.raises(QuoteExpired):
        starting.start(newcomer.pk, Terms(pro, own_price=money(1)), NOW, digest)
    start(newcomer, Terms(Plan.objects.get(code="community")))
    with pytest.raises(QuoteExpired):
        starting.start(newcomer.pk, Terms(pro), NOW, digest)
    assert billed(newcomer) == []
