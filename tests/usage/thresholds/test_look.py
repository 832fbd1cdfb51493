"""What is told when: once a window and threshold, anew after a raised limit, and against the limits of that moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import LimitOverride, NoticeThreshold, OutboxMessage, Plan, TokenTopUp
from billing.outbox.kinds import Happened
from billing.subscriptions import changes
from billing.subscriptions.overage import cap
from tests.billing.metered import make_metered, use
from tests.cast import Customer
from tests.usage.thresholds.looking import SOME, is_marked, look, spend, told
from usage.metering.reset import reset_usage
from usage.models import ThresholdCrossed, WindowUsage
from usage.thresholds import own

pytestmark = pytest.mark.django_db


def test_each_threshold_is_told_once(bob: Customer) -> None:
    spend(bob, 399)
    assert (look(), told(bob)) == (0, [])
    spend(bob, 1)
    assert (look(), look()) == (1, 0)
    spend(bob, 50)
    assert look() == 0
    spend(bob, 50)
    assert look() == 1
    spend(bob, 1)
    assert look() == 0
    assert told(bob) == [SOME[80], SOME[100]]
    assert list(ThresholdCrossed.objects.values_list("percent", "used")) == [(100, 500), (80, 400)]


def test_only_the_highest_is_told_of_those_that_were_crossed_together(bob: Customer) -> None:
    spend(bob, 500)
    assert (look(), told(bob)) == (1, [SOME[100]])


def test_the_message_says_all_that_a_mail_needs(bob: Customer) -> None:
    spend(bob, 450)
    look()
    message = OutboxMessage.objects.get(kind=Happened.THRESHOLD_CROSSED)
    assert message.payload == {
        "crossing": ThresholdCrossed.objects.get().pk,
        "limit": "included",
        "percent": 80,
        "tokens": 500,
        "used": 450,
        "window_ends_at": WindowUsage.objects.get().ends_at.isoformat(),
    }


def test_nothing_is_looked_at_again_below_the_next_threshold(bob: Customer) -> None:
    spend(bob, 10)
    assert is_marked(bob), "a new window"
    look()
    spend(bob, 389)
    assert not is_marked(bob)
    spend(bob, 1)
    assert is_marked(bob)


class TestArmedAgain:
    def test_by_a_top_up(self, bob: Customer) -> None:
        spend(bob, 500)
        look()
        TokenTopUp(account=bob.user, tokens=500, starts_at=timezone.now()).save()
        assert look() == 0, "half of 1,000"
        spend(bob, 300)
        look()
        assert told(bob) == [SOME[100], ("included", 1000, 80)]

    def test_by_an_override(self, bob: Customer) -> None:
        spend(bob, 400)
        look()
        LimitOverride(account=bob.user, limit="quota", maximum=1000).save()
        spend(bob, 400)
        look()
        assert told(bob) == [SOME[80], ("included", 1000, 80)]

    def test_by_an_upgrade(self, bob: Customer, customer: Callable[..., Customer]) -> None:
        alice = customer("alice", "community")
        spend(alice, 100)
        look()
        changes.upgrade(alice.account, Plan.objects.get(code="starter"), timezone.now())
        spend(alice, 300)
        look()
        assert told(alice) == [("included", 100, 100), SOME[80]]

    def test_by_a_reset(self, bob: Customer) -> None:
        spend(bob, 500)
        look()
        reset_usage(bob.account, timezone.now(), reason="goodwill", by="sue")
        assert look() == 0
        spend(bob, 400)
        look()
        assert told(bob) == [SOME[100], SOME[80]]

    def test_by_a_new_window(self, bob: Customer) -> None:
        spend(bob, 400)
        look()
        later = WindowUsage.objects.get().ends_at + timedelta(hours=1)
        use(bob.account, 400, later)
        assert look(later) == 1
        assert told(bob) == [SOME[80]] * 2

    def test_not_by_a_lowered_limit(self, bob: Customer) -> None:
        spend(bob, 400)
        look()
        LimitOverride(account=bob.user, limit="quota", maximum=420).save()
        assert look() == 0
        spend(bob, 20)
        look()
        assert told(bob) == [SOME[80], ("included", 420, 100)]

    def test_not_by_tokens_that_came_back(self, bob: Customer) -> None:
        spend(bob, 400)
        look()
        WindowUsage.objects.update(tokens=390)
        spend(bob, 10)
        look()
        assert told(bob) == [SOME[80]]


class TestWhatLimits:
    def test_a_limit_lowered_to_what_is_used_is_told_without_another_call(self, bob: Customer) -> None:
        spend(bob, 300)
        look()
        LimitOverride(account=bob.user, limit="quota", maximum=300).save()
        look()
        assert told(bob) == [("included", 300, 100)]

    def test_a_plan_that_was_edited_is_found_by_the_next_call(self, bob: Customer) -> None:
        spend(bob, 100)
        look()
        starter = Plan.objects.get(code="starter")
        starter.monthly_token_quota = 110
        starter.save()
        spend(bob, 1)
        look()
        assert told(bob) == [("included", 110, 80)]

    def test_an_override_that_ends_is_found_when_it_does(self, bob: Customer) -> None:
        ends_at = timezone.now() + timedelta(minutes=5)
        LimitOverride(account=bob.user, limit="quota", maximum=10_000, expires_at=ends_at).save()
        spend(bob, 500)
        assert look() == 0
        assert look(ends_at - timedelta(seconds=1)) == 0
        assert look(ends_at + timedelta(milliseconds=1)) == 1, "instants are judged by the millisecond"
        assert told(bob) == [SOME[100]]

    def test_where_nothing_is_limited_nothing_is_told(self, carol: Customer) -> None:
        spend(carol, 10**9)
        assert (look(), is_marked(carol)) == (0, False)

    def test_a_window_that_is_over_is_not_told(self, bob: Customer) -> None:
        spend(bob, 500)
        assert look(WindowUsage.objects.get().ends_at) == 0

    def test_who_is_deactivated_is_told_when_active_again(self, bob: Customer) -> None:
        spend(bob, 400)
        bob.user.is_active = False
        bob.user.save()
        assert look() == 0
        bob.user.is_active = True
        bob.user.save()
        spend(bob, 10)
        assert look() == 1

    def test_overage_is_told_at_all_that_is_included_and_at_the_cap(self, customer: Callable[..., Customer]) -> None:
        make_metered(monthly_token_quota=1_000, overage_cap_tokens=2_000)
        mia = customer("mia", "metered")
        spend(mia, 1_000)
        look()
        said = OutboxMessage.objects.get(kind=Happened.THRESHOLD_CROSSED).payload
        assert (said["overage_price"], said["currency"], said["cap_tokens"]) == ("0.5000", "USD", 2_000)
        spend(mia, 2_000)
        look()
        cap.set_cap(mia.account, 3_000, timezone.now())
        assert look() == 0
        spend(mia, 1_000)
        look()
        assert told(mia) == [("included", 1000, 100), ("cap", 3000, 100), ("cap", 4000, 100)]


class TestThresholds:
    def test_a_new_plan_has_the_usual_two(self, bob: Customer) -> None:
        assert list(Plan.objects.get(code="starter").notice_thresholds.values_list("percent", flat=True)) == [80, 100]

    def test_staff_may_leave_a_plan_with_none(self, bob: Customer) -> None:
        NoticeThreshold.objects.filter(plan__code="starter").delete()
        spend(bob, 500)
        assert look() == 0

    def test_an_accounts_own_are_told_beside_the_plans(self, bob: Customer) -> None:
        own.add(bob.account, 50, timezone.now())
        own.add(bob.account, 50, timezone.now())
        for tokens in (249, 1, 150):
            spend(bob, tokens)
            look()
        assert told(bob) == [("included", 500, 50), SOME[80]]

    def test_one_that_is_crossed_already_is_told_at_once(self, bob: Customer) -> None:
        spend(bob, 300)
        look()
        own.add(bob.account, 60, timezone.now())
        look()
        assert told(bob) == [("included", 500, 60)]

    def test_there_are_ten_at_most(self, bob: Customer, alice: Customer) -> None:
        for percent in range(1, 11):
            own.add(bob.account, percent, timezone.now())
        with pytest.raises(own.TooMany):
            own.add(bob.account, 11, timezone.now())
        own.add(bob.account, 10, timezone.now())
        first = NoticeThreshold.objects.filter(account=bob.user).first()
        assert first is not None
        assert not own.remove(alice.account, first.pk), "another's"
        assert own.remove(bob.account, first.pk)
        own.add(bob.account, 11, timezone.now())
