"""The tax on issued documents, by treatment. Written with the document, and immutable as it is."""

from __future__ import annotations

from decimal import Decimal

from django.db import models

from billing.rules.tax import Category, TaxSum, Treatment


class InvoiceTax(models.Model):
    """What the lines of one treatment come to on an invoice. One issued without a seller has none.

    A rate has two rows where a credit takes back what was sold in the other mode of prices: with tax, or without.
    """

    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, related_name="taxes", db_index=False)
    category = models.CharField(max_length=2, help_text="As EN 16931 has it: S, Z, AE or O.")
    percent = models.DecimalField(max_digits=7, decimal_places=4)
    country = models.CharField(max_length=2, blank=True)
    name = models.CharField(max_length=20, blank=True)
    included = models.BooleanField(default=False, help_text="The lines' amounts contain it.")
    net = models.DecimalField(max_digits=18, decimal_places=4)
    tax = models.DecimalField(max_digits=18, decimal_places=4)

    class Meta:
        ordering = ["invoice", "pk"]
        verbose_name_plural = "invoice taxes"
        constraints = [
            models.UniqueConstraint(
                name="invoice_tax_once", fields=["invoice", "category", "percent", "country", "name", "included"]
            )
        ]

    def __str__(self) -> str:
        return self.treatment.label()

    @property
    def treatment(self) -> Treatment:
        return Treatment(Category(self.category), self.percent, self.country, self.name, self.included)

    @property
    def sum(self) -> TaxSum:
        return TaxSum(self.treatment, self.net, self.tax)


class CreditNoteTax(models.Model):
    """What a credit note takes off one of its invoice's treatments."""

    credit_note = models.ForeignKey(
        "billing.CreditNote", on_delete=models.PROTECT, related_name="taxes", db_index=False
    )
    of = models.ForeignKey(InvoiceTax, on_delete=models.PROTECT, related_name="credit_note_taxes", db_index=False)
    net = models.DecimalField(max_digits=18, decimal_places=4)
    tax = models.DecimalField(max_digits=18, decimal_places=4)

    class Meta:
        ordering = ["credit_note", "pk"]
        verbose_name_plural = "credit note taxes"
        constraints = [models.UniqueConstraint(name="credit_note_tax_once", fields=["credit_note", "of"])]

    def __str__(self) -> str:
        return str(self.of)

    @property
    def category(self) -> str:
        return self.of.category

    @property
    def percent(self) -> Decimal:
        return self.of.percent

    @property
    def country(self) -> str:
        return self.of.country

    @property
    def name(self) -> str:
        return self.of.name

    @property
    def price(self) -> Decimal:
        """In the terms of the invoice's lines: with the tax where they contain it."""
        return self.net + self.tax if self.of.included else self.net
