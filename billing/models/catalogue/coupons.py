"""Coupons that staff hand out, and who redeemed which."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing.models.amounts import check_currency, too_exact
from billing.models.catalogue.plans import Plan
from billing.rules.discount import discount
from billing.rules.money import minor_units

MOST_PERIODS = 1_200
coupon_code_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$", "Use letters, digits, - and _; begin with a letter or a digit."
)


class CouponQuerySet(models.QuerySet["Coupon"]):
    def of_code(self, code: str) -> Coupon | None:
        """The coupon of a code as a customer types it: in any case, with space around it."""
        return self.filter(code__iexact=code.strip()).first()


class Coupon(models.Model):
    """A percentage or an amount off the price of one, several or all periods of those who redeem it."""

    FIXED_ONCE_REDEEMED = ("percent", "amount", "currency", "periods")
    """Customers were promised them."""

    code = models.CharField(
        max_length=50,
        validators=[coupon_code_validator],
        help_text="What customers type, in any case. It cannot be changed later.",
    )
    name = models.CharField(max_length=100)
    percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.01")), MaxValueValidator(Decimal(100))],
        help_text="Off the price of a period. Blank where an amount is given.",
    )
    amount = models.DecimalField(
        max_digits=15,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Off the price of a period, at most all of it. Blank where a percentage is given.",
    )
    currency = models.CharField(max_length=3, blank=True, help_text="Of the amount: ISO 4217, such as USD.")
    periods = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_PERIODS)],
        help_text="How many billing periods are discounted. Blank means all.",
    )
    most_redemptions = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="By how many customers in all; each redeems it once. Blank means any number.",
    )
    valid_until = models.DateTimeField(
        null=True, blank=True, help_text="Redeemed before this instant. Discounts go on after it. Blank means for ever."
    )
    plans = models.ManyToManyField(
        Plan, blank=True, related_name="coupons", help_text="Whose periods are discounted. None chosen means all."
    )
    is_on_sale = models.BooleanField(
        "can be redeemed", default=True, help_text="Otherwise the code is unknown; who has redeemed it keeps it."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    history = HistoricalRecords(m2m_fields=[plans])
    objects = CouponQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                Upper("code"), name="coupon_code_once", violation_error_message="There is a coupon of this code."
            ),
            models.CheckConstraint(
                name="coupon_percent_or_amount",
                condition=Q(percent__isnull=False, percent__gt=0, percent__lte=100, amount__isnull=True, currency="")
                | Q(percent__isnull=True, amount__isnull=False, amount__gt=0) & ~Q(currency=""),
                violation_error_message="Give either a percentage, or an amount with its currency.",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def takes(self) -> str:
        """As people read it: `50 %`, `5.00 USD`."""
        if self.percent is not None:
            return f"{self.percent.normalize():f} %"
        assert self.amount is not None
        return f"{self.amount:.{minor_units(self.currency)}f} {self.currency}"

    def discount_on(self, plan: Plan, price: Decimal) -> Decimal:
        """What it takes off a price of the plan, in the plan's currency; 0 where it is not for it.

        From memory where `plans` were prefetched.
        """
        plans = {each.pk for each in self.plans.all()}
        if (plans and plan.pk not in plans) or self.currency not in ("", plan.currency):
            return Decimal(0)
        return discount(price, plan.currency, percent=self.percent, amount=self.amount)

    def was_redeemed(self) -> bool:
        return self.redemptions.exists()

    def is_expired(self, now: datetime) -> bool:
        return self.valid_until is not None and now >= self.valid_until

    def clean(self) -> None:
        if self.amount is not None and self.currency:
            check_currency(self.currency)
            if not self.amount.is_finite() or self.amount <= 0:
                raise ValidationError({"amount": "Give an amount above 0."})
            if wrong := too_exact(self.amount, self.currency):
                raise ValidationError({"amount": wrong})
        if self.pk is None:
            return
        before = Coupon.objects.get(pk=self.pk)
        if (
            any(getattr(before, term) != getattr(self, term) for term in self.FIXED_ONCE_REDEEMED)
            and before.was_redeemed()
        ):
            raise ValidationError("The coupon was redeemed: what it gives stays as it is. Add another coupon instead.")


class CouponRedemptionQuerySet(models.QuerySet["CouponRedemption"]):
    def active(self) -> CouponRedemptionQuerySet:
        """Those that discount periods to come; an account has one at most."""
        return self.filter(ACTIVE)


ACTIVE = Q(withdrawn_at__isnull=True) & (Q(periods_left__isnull=True) | Q(periods_left__gt=0))


class CouponRedemption(models.Model):
    """Written by `billing.subscriptions.coupons.redeeming` and `billing.subscriptions.coupons.discounts` alone."""

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="coupon_redemptions", db_index=False
    )
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="redemptions")
    redeemed_at = models.DateTimeField()
    periods_used = models.PositiveIntegerField(default=0, help_text="Billing periods that it has discounted.")
    periods_left = models.PositiveIntegerField(null=True, help_text="None means all that follow.")
    withdrawn_at = models.DateTimeField(
        null=True, help_text="Given up, or taken back by staff. What was billed stays as it is."
    )
    objects = CouponRedemptionQuerySet.as_manager()

    class Meta:
        ordering = ["-redeemed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(name="coupon_once_an_account", fields=["account", "coupon"]),
            models.UniqueConstraint(name="coupon_one_active", fields=["account"], condition=ACTIVE),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.coupon}"

    @property
    def is_active(self) -> bool:
        return self.withdrawn_at is None and self.periods_left != 0
