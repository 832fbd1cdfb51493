"""Saved cards, customers as a provider knows them, and what it told. A saved card is a fact that trials rest on."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FENCE = """
CREATE TRIGGER fence AFTER INSERT OR DELETE OR UPDATE OF account_id, state, detached_at, exp_year, exp_month
    ON billing_paymentmethod FOR EACH ROW EXECUTE FUNCTION billing_account_changed('account_id')
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0031_money_in_of_payments"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ProviderEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("reference", models.CharField(max_length=255)),
                ("type", models.CharField(max_length=100)),
                ("object_type", models.CharField(max_length=100)),
                ("object_reference", models.CharField(max_length=255)),
                ("is_live", models.BooleanField(help_text="Of the provider's live mode, not of its test mode.")),
                ("created_at", models.DateTimeField(help_text="When it happened, as the provider says.")),
                ("received_at", models.DateTimeField()),
                (
                    "payload",
                    models.JSONField(default=dict, help_text="As it was told; forgotten once it is processed."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("received", "Received"), ("done", "Done"), ("failed", "Failed")],
                        default="received",
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
                ("processed_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "ordering": ["-pk"],
                "default_permissions": ("view", "change"),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "received")), fields=["received_at"], name="provider_event_open"
                    ),
                    models.Index(condition=models.Q(("state", "failed")), fields=["-id"], name="provider_event_failed"),
                    models.Index(fields=["object_reference"], name="provider_event_object"),
                ],
                "constraints": [models.UniqueConstraint(fields=("reference", "provider"), name="provider_event_once")],
            },
        ),
        migrations.CreateModel(
            name="ProviderPoll",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("is_live", models.BooleanField()),
                ("polled_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("provider", "is_live"), name="provider_poll_once")],
            },
        ),
        migrations.CreateModel(
            name="PaymentMethod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("reference", models.CharField(max_length=255)),
                ("is_live", models.BooleanField(help_text="Of the provider's live mode, not of its test mode.")),
                ("brand", models.CharField(max_length=20)),
                ("last4", models.CharField(max_length=4)),
                ("exp_month", models.PositiveSmallIntegerField()),
                ("exp_year", models.PositiveSmallIntegerField()),
                (
                    "fingerprint",
                    models.CharField(blank=True, help_text="The same for the same number of a card.", max_length=50),
                ),
                ("is_default", models.BooleanField(default=False, help_text="Charged when an invoice is issued.")),
                (
                    "state",
                    models.CharField(
                        choices=[("usable", "Usable"), ("needs_action", "Needs Action"), ("detached", "Detached")],
                        default="usable",
                        max_length=20,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("detached_at", models.DateTimeField(blank=True, null=True)),
                (
                    "provider_told_at",
                    models.DateTimeField(
                        blank=True, help_text="When the provider confirmed that it forgot the card.", null=True
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="payment_methods",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-is_default", "-created_at", "-pk"],
                "default_permissions": ("view", "delete"),
                "constraints": [
                    models.UniqueConstraint(fields=("reference", "provider"), name="payment_method_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)),
                        fields=("account", "is_live"),
                        name="payment_method_default",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("detached_at__isnull", False), ("is_default", False), ("state", "detached")),
                            models.Q(models.Q(("state", "detached"), _negated=True), ("detached_at", None)),
                            _connector="OR",
                        ),
                        name="payment_method_detached",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("exp_month__range", (1, 12))), name="payment_method_month"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProviderCustomer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(max_length=20)),
                ("reference", models.CharField(max_length=255)),
                ("is_live", models.BooleanField(help_text="Of the provider's live mode, not of its test mode.")),
                ("created_at", models.DateTimeField()),
                (
                    "forget_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The account was erased, and the provider is to be told; or it has forgotten by itself.",
                        null=True,
                    ),
                ),
                (
                    "forgotten_at",
                    models.DateTimeField(blank=True, help_text="When the provider confirmed it.", null=True),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="provider_customers",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("reference", "provider"), name="provider_customer_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("forget_at", None)),
                        fields=("account", "provider", "is_live"),
                        name="provider_customer_of_account",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FENCE, "DROP TRIGGER fence ON billing_paymentmethod"),
    ]
