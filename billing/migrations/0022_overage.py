"""Tokens above the quota: what they cost, how far they go, and what was billed; both fences know of it."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

CAP = """
CREATE TRIGGER fence_overage AFTER UPDATE OF overage_cap_tokens ON billing_subscription FOR EACH ROW
    WHEN (OLD.overage_cap_tokens IS DISTINCT FROM NEW.overage_cap_tokens)
    EXECUTE FUNCTION billing_account_changed('account_id')
"""
# A renewal changes nothing that a call may do, unless the new period sells on other terms than the one before.
PRICE = """
CREATE FUNCTION billing_overage_price_changed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM billing_raise_fence(changed.account_id) FROM (
        SELECT subscription.account_id FROM added
        JOIN billing_billingperiod AS before
            ON before.subscription_id = added.subscription_id AND before.number = added.number - 1
        JOIN billing_subscription AS subscription ON subscription.id = added.subscription_id
        WHERE before.overage_price IS DISTINCT FROM added.overage_price
        ORDER BY subscription.account_id
    ) AS changed;
    RETURN NULL;
END $$;
CREATE TRIGGER fence_overage AFTER INSERT ON billing_billingperiod REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_overage_price_changed()
"""
NO_PRICE = """
DROP TRIGGER fence_overage ON billing_billingperiod;
DROP FUNCTION billing_overage_price_changed()
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0021_tax"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="WindowOverage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("window_starts_at", models.DateTimeField()),
                ("until", models.DateTimeField(help_text="The window's end, or when the plan was changed within it.")),
                (
                    "is_part",
                    models.BooleanField(default=False, help_text="The plan was changed before the window's end."),
                ),
                (
                    "included",
                    models.BigIntegerField(help_text="Tokens that cost nothing extra. Null: all of them.", null=True),
                ),
                (
                    "unit_price",
                    models.DecimalField(decimal_places=4, help_text="Of 1,000 tokens.", max_digits=15, null=True),
                ),
                ("currency", models.CharField(max_length=3)),
                ("used", models.BigIntegerField(help_text="Up to its end, when it was last looked at.", null=True)),
                ("tokens", models.BigIntegerField(default=0, help_text="Billed above the quota.")),
                ("amount", models.DecimalField(decimal_places=4, default=0, max_digits=18)),
            ],
            options={
                "verbose_name": "overage",
                "verbose_name_plural": "overage",
                "ordering": ["-until", "-pk"],
            },
        ),
        migrations.AddField(
            model_name="billingperiod",
            name="overage_price",
            field=models.DecimalField(
                decimal_places=4,
                help_text="Of 1,000 tokens above the quota. Null: none are sold.",
                max_digits=15,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="historicalplan",
            name="overage_cap_tokens",
            field=models.PositiveBigIntegerField(
                blank=True,
                default=0,
                help_text="In each usage window, for customers who have set no cap of their own. Blank or 0: only who sets one can buy.",
                validators=[django.core.validators.MaxValueValidator(999999999999999)],
                verbose_name="most tokens above the quota",
            ),
        ),
        migrations.AddField(
            model_name="historicalplan",
            name="overage_price",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="In the plan's currency, up to 4 decimals. Blank means that the quota is the end. An edit acts from each subscriber's next period.",
                max_digits=15,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("0.0001")),
                    django.core.validators.MaxValueValidator(Decimal("1000000")),
                ],
                verbose_name="price per 1,000 tokens above the quota",
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="overage_cap_tokens",
            field=models.PositiveBigIntegerField(
                blank=True,
                default=0,
                help_text="In each usage window, for customers who have set no cap of their own. Blank or 0: only who sets one can buy.",
                validators=[django.core.validators.MaxValueValidator(999999999999999)],
                verbose_name="most tokens above the quota",
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="overage_price",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="In the plan's currency, up to 4 decimals. Blank means that the quota is the end. An edit acts from each subscriber's next period.",
                max_digits=15,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("0.0001")),
                    django.core.validators.MaxValueValidator(Decimal("1000000")),
                ],
                verbose_name="price per 1,000 tokens above the quota",
            ),
        ),
        migrations.AddField(
            model_name="subscription",
            name="overage_cap_tokens",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Most tokens above the quota, set by the customer. Blank: the plan's; 0: none.",
                null=True,
                validators=[django.core.validators.MaxValueValidator(999999999999999)],
                verbose_name="own overage cap",
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("base", "base price of a period, in advance"),
                    ("credit", "credit for unused time"),
                    ("charge", "charge for remaining time"),
                    ("discount", "discount of a coupon"),
                    ("pack", "tokens on top of the quota"),
                    ("overage", "tokens above the quota, in arrears"),
                    ("tax", "tax on the lines before it"),
                    ("balance", "balance used"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="billingperiod",
            index=models.Index(
                condition=models.Q(("overage_price__isnull", False)),
                fields=["subscription"],
                name="period_selling_overage",
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("overage_price__range", (Decimal("0.0001"), Decimal("1000000")))),
                name="plan_overage_countable",
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("overage_cap_tokens__range", (0, 999999999999999))),
                name="plan_overage_cap_countable",
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("overage_price__isnull", True),
                    models.Q(
                        ("interval", "month"),
                        ("monthly_token_quota__isnull", False),
                        ("quota_window", "billing_period"),
                    ),
                    _connector="OR",
                ),
                name="plan_overage_fits",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("overage_cap_tokens__range", (0, 999999999999999))),
                name="subscription_overage_cap_countable",
            ),
        ),
        migrations.AddField(
            model_name="windowoverage",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="window_overages",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="windowoverage",
            name="billing_period",
            field=models.ForeignKey(
                help_text="It was sold in this one.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="overages",
                to="billing.billingperiod",
            ),
        ),
        migrations.AddField(
            model_name="windowoverage",
            name="invoice",
            field=models.ForeignKey(
                help_text="The last one that bills it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="overages",
                to="billing.invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="windowoverage",
            constraint=models.UniqueConstraint(fields=("account", "window_starts_at", "until"), name="overage_once"),
        ),
        migrations.RunSQL(CAP, "DROP TRIGGER fence_overage ON billing_subscription"),
        migrations.RunSQL(PRICE, NO_PRICE),
    ]
