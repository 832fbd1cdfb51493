"""Who sells and who buys, and the tax between them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing import vat_ids
from billing.rules.countries import COUNTRIES
from billing.rules.tax import Place, Rate

# Neither a PDF nor an XML document takes them.
_ODD = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
one_line = RegexValidator(rf"^[^\t\n\r{_ODD}]*\Z", "Leave out line breaks and control characters.")
lines = RegexValidator(rf"^[^{_ODD}]*\Z", "Leave out control characters.")
REVERSE_CHARGE = "Reverse charge: VAT to be accounted for by the recipient"


def existing_country(code: str) -> None:
    """Raises ValidationError for what is no country."""
    if code not in COUNTRIES:
        raise ValidationError("Give a country by its two capital letters (ISO 3166-1), such as DE.")


class Party(models.Model):
    """A name and an address for a document."""

    name = models.CharField(max_length=200, validators=[one_line])
    address = models.TextField(
        max_length=500, blank=True, validators=[lines], help_text="Street and number; further lines as they are."
    )
    city = models.CharField(max_length=100, blank=True, validators=[one_line])
    postcode = models.CharField(max_length=20, blank=True, validators=[one_line])
    country = models.CharField(
        max_length=2, validators=[existing_country], help_text="Two capital letters (ISO 3166-1), such as DE."
    )
    vat_id = models.CharField(
        "VAT number", max_length=vat_ids.LONGEST, blank=True, help_text="Checked by the country's rule."
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> Place:
        return Place(self.country, bool(self.vat_id))

    def snapshot(self) -> dict[str, Any]:
        """The party as a document keeps it."""
        return {name: getattr(self, name) for name in ("name", "address", "city", "postcode", "country", "vat_id")}

    def clean(self) -> None:
        self.address = "\n".join(line.strip() for line in self.address.splitlines() if line.strip())
        if self.country in COUNTRIES or not self.country:
            try:
                self.vat_id = vat_ids.compact(self.country, self.vat_id)
            except vat_ids.WrongVatId as error:
                raise ValidationError({"vat_id": str(error)}) from None


class Seller(Party):
    """The operator, as invoices name it. Without it invoices bear no tax, and there are no documents of them."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    email = models.EmailField(blank=True, help_text="Where customers ask about an invoice.")
    iban = models.CharField("IBAN", max_length=42, blank=True, help_text="Where to pay; stands on unpaid invoices.")
    payment_text = models.CharField(
        max_length=500, blank=True, validators=[one_line], help_text="How to pay, in a sentence or two."
    )
    payment_days = models.PositiveSmallIntegerField(
        default=14, validators=[MaxValueValidator(365)], help_text="Days from issue in which an invoice is to be paid."
    )
    reverse_charge_text = models.CharField(
        max_length=200,
        default=REVERSE_CHARGE,
        validators=[one_line],
        help_text="Stands on invoices whose tax the buyer owes.",
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "seller"
        constraints = [models.CheckConstraint(name="seller_is_one", condition=Q(id=1))]

    def snapshot(self) -> dict[str, Any]:
        more = ("email", "iban", "payment_text", "payment_days", "reverse_charge_text")
        return super().snapshot() | {name: getattr(self, name) for name in more}

    def clean(self) -> None:
        super().clean()
        try:
            self.iban = vat_ids.compact_iban(self.iban)
        except ValueError as error:
            raise ValidationError({"iban": str(error)}) from None


class BillingDetails(Party):
    """A customer, as invoices name the buyer."""

    account = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="billing_details")
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-changed_at", "-pk"]
        verbose_name_plural = "billing details"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.changed_at = timezone.now()
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "changed_at"}
        super().save(*args, **kwargs)


class TaxRate(models.Model):
    """A country's tax from an instant on, until another row's. A rate of 0 ends it; rows are not deleted."""

    country = models.CharField(
        max_length=2, validators=[existing_country], help_text="Of the buyer; two capital letters, such as DE."
    )
    percent = models.DecimalField(
        max_digits=7,
        decimal_places=4,
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100))],
        help_text="Such as 19. 0 from then on: taxed at zero.",
    )
    name = models.CharField(
        max_length=20, default="VAT", validators=[one_line], help_text="As invoices call it: VAT, GST …"
    )
    valid_from = models.DateTimeField(help_text="In UTC. It holds until a later row of the country does.")
    history = HistoricalRecords()

    class Meta:
        ordering = ["country", "-valid_from"]
        constraints = [
            models.UniqueConstraint(name="tax_rate_once", fields=["country", "valid_from"]),
            models.CheckConstraint(name="tax_rate_bounded", condition=Q(percent__gte=0, percent__lte=100)),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.percent.normalize():f} % in {self.country} from {self.valid_from:%Y-%m-%d}"

    @property
    def rate(self) -> Rate:
        return Rate(self.country, self.percent, self.name, self.valid_from)
