"""Tries to charge cards, what they lead to, and disputes."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FENCE = """
CREATE TRIGGER fence AFTER INSERT OR DELETE OR UPDATE OF since, account_id ON billing_pastdue
    FOR EACH ROW EXECUTE FUNCTION billing_account_changed('account_id')
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0032_payment_methods"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Dispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("reference", models.CharField(help_text="The provider's id of it.", max_length=100)),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("won", "Won"), ("lost", "Lost")], default="open", max_length=10
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=4, max_digits=18)),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(blank=True, help_text="The bank's code.", max_length=60)),
                (
                    "fee",
                    models.DecimalField(
                        decimal_places=4,
                        default=0,
                        help_text="What the provider keeps for it; no customer is billed it.",
                        max_digits=18,
                    ),
                ),
                ("fee_currency", models.CharField(blank=True, max_length=3)),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        help_text="What the money was sent for.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "money_in",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="disputes", to="billing.moneyin"
                    ),
                ),
            ],
            options={
                "ordering": ["-opened_at", "-pk"],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["-opened_at", "-id"], name="dispute_opened")],
                "constraints": [models.UniqueConstraint(fields=("provider", "reference"), name="dispute_once")],
            },
        ),
        migrations.CreateModel(
            name="PastDue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField()),
                (
                    "pause_told_at",
                    models.DateTimeField(help_text="When the customer was told that the grace has ended.", null=True),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="past_due",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="past_due", to="billing.invoice"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "past due",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("pause_told_at__isnull", True)),
                        fields=["since"],
                        name="past_due_pause_untold",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PaymentAttempt",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField(help_text="Of the invoice's attempts, from 1.")),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("issued", "the invoice was issued"),
                            ("retry", "dunning"),
                            ("method", "a new method was given"),
                            ("customer", "by the customer"),
                        ],
                        max_length=10,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=4, max_digits=18)),
                ("currency", models.CharField(max_length=3)),
                ("provider", models.CharField(max_length=20)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("created", "Created"),
                            ("sent", "Sent"),
                            ("unknown", "Unknown"),
                            ("needs_action", "needs the customer"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                        ],
                        default="created",
                        max_length=12,
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        help_text="The provider's id of the charge.", max_length=200, null=True, unique=True
                    ),
                ),
                (
                    "page_reference",
                    models.CharField(
                        help_text="The provider's id of the page on which the customer pays.",
                        max_length=200,
                        null=True,
                        unique=True,
                    ),
                ),
                ("decline_code", models.CharField(blank=True, help_text="The provider's.", max_length=60)),
                (
                    "kind",
                    models.CharField(
                        blank=True, choices=[("soft", "soft"), ("hard", "hard"), ("action", "action")], max_length=10
                    ),
                ),
                (
                    "next_try_at",
                    models.DateTimeField(
                        help_text="When another attempt is made by itself. None follows where it is empty.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(help_text="When the provider was called, or asked, last.", null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment_attempts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
                        to="billing.invoice",
                    ),
                ),
                (
                    "method",
                    models.ForeignKey(
                        help_text="Empty: the customer gives a card on the provider's page, or it was erased.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="attempts",
                        to="billing.paymentmethod",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-pk"],
                "indexes": [
                    models.Index(fields=["account", "-created_at", "-id"], name="attempt_of_account"),
                    models.Index(fields=["-created_at", "-id"], name="attempt_created"),
                    models.Index(
                        condition=models.Q(("next_try_at__isnull", False)),
                        fields=["next_try_at"],
                        name="attempt_next_try",
                    ),
                    models.Index(
                        condition=models.Q(("state__in", ("created", "sent", "unknown", "needs_action"))),
                        fields=["state", "sent_at"],
                        name="attempt_live",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("invoice", "number"), name="attempt_numbered"),
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("created", "sent", "unknown", "needs_action"))),
                        fields=("invoice",),
                        name="attempt_one_live",
                    ),
                    models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="attempt_positive"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("next_try_at__isnull", True), ("state__in", ("failed", "canceled")), _connector="OR"
                        ),
                        name="attempt_next_try_after_failure",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FENCE, migrations.RunSQL.noop),
    ]
