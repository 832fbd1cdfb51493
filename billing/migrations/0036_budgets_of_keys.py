"""Budgets of keys, by an edit of which facts become stale: the account's, or the catalogue where they stand on a plan."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

TRIGGER = """
CREATE FUNCTION billing_budget_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed jsonb;
BEGIN
    FOR changed IN SELECT DISTINCT row FROM (VALUES (to_jsonb(OLD)), (to_jsonb(NEW))) AS rows (row) WHERE row IS NOT NULL
    LOOP
        IF changed ->> 'plan_id' IS NOT NULL THEN
            PERFORM billing_raise_fence(0);
        ELSE
            PERFORM billing_raise_fence(key.account_id) FROM billing_apikey AS key WHERE key.id = changed ->> 'key_id';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER fence AFTER INSERT OR UPDATE OR DELETE ON billing_budget
    FOR EACH ROW EXECUTE FUNCTION billing_budget_changed();
"""
REVERSE = """
DROP TRIGGER fence ON billing_budget;
DROP FUNCTION billing_budget_changed();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0035_model_prices"),
    ]

    operations = [
        migrations.CreateModel(
            name="Budget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "requests_per_minute",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="In any 60 seconds. Blank means no budget.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                    ),
                ),
                (
                    "tokens_per_day",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="A day in UTC. Blank means no budget.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(999999999999999)],
                    ),
                ),
                (
                    "tokens_per_month",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="A calendar month in UTC. Blank means no budget.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(999999999999999)],
                    ),
                ),
                (
                    "tokens_per_run",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Of all calls that name the run.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(999999999999999)],
                    ),
                ),
                (
                    "calls_per_run",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Failed ones count, too.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                    ),
                ),
                (
                    "open_per_run",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="At once.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                        verbose_name="open reservations per run",
                    ),
                ),
                (
                    "repeats_per_run",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Of one run; the next is refused as a loop.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                        verbose_name="equal requests in a row",
                    ),
                ),
                (
                    "key",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="budget",
                        to="billing.apikey",
                    ),
                ),
                (
                    "plan",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="key_budget",
                        to="billing.plan",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("key__isnull", False), ("plan__isnull", True)),
                            models.Q(("key__isnull", True), ("plan__isnull", False)),
                            _connector="OR",
                        ),
                        name="budget_of_key_or_plan",
                    )
                ],
            },
        ),
        migrations.RunSQL(TRIGGER, REVERSE),
    ]
