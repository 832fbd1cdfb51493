"""Prices of models by their units: rows in force stay as they are, and the catalogue's fence knows of each."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

TRIGGERS = """
CREATE TRIGGER fence AFTER INSERT OR UPDATE OR DELETE ON billing_modelprice
    FOR EACH STATEMENT EXECUTE FUNCTION billing_catalogue_changed();

CREATE FUNCTION billing_keep_model_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a model''s price stays as it is; add one that holds from a later instant on'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON billing_modelprice FOR EACH ROW EXECUTE FUNCTION billing_keep_model_price();
CREATE TRIGGER keep_in_force BEFORE DELETE ON billing_modelprice FOR EACH ROW
    WHEN (OLD.valid_from <= now()) EXECUTE FUNCTION billing_keep_model_price();
"""
DROP = """
DROP TRIGGER keep_in_force ON billing_modelprice;
DROP TRIGGER keep ON billing_modelprice;
DROP FUNCTION billing_keep_model_price();
DROP TRIGGER fence ON billing_modelprice;
"""


def _rate(**options):
    return models.PositiveIntegerField(validators=[django.core.validators.MaxValueValidator(1000000000)], **options)


class Migration(migrations.Migration):
    dependencies = [("billing", "0034_payments_on_chains")]

    operations = [
        migrations.CreateModel(
            name="ModelPrice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "model",
                    models.CharField(
                        help_text="As callers name it, such as m-large. It is case-sensitive.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[!-~]+\\Z", "Letters, digits and signs such as - . : and /, without spaces."
                            )
                        ],
                    ),
                ),
                ("input", _rate()),
                ("cache_read", _rate()),
                ("cache_write", _rate()),
                ("output", _rate()),
                ("fixed", _rate(default=0)),
                (
                    "is_on_sale",
                    models.BooleanField(
                        default=True,
                        help_text="Off: from then on callers are told that there is no such model.",
                        verbose_name="on sale",
                    ),
                ),
                ("valid_from", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "feature",
                    models.ForeignKey(
                        help_text="Calls of this feature may name the model.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="model_prices",
                        to="billing.feature",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("model", "feature", "valid_from"), name="model_price_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cache_read__lte", 1000000000),
                            ("cache_write__lte", 1000000000),
                            ("fixed__lte", 1000000000),
                            ("input__lte", 1000000000),
                            ("output__lte", 1000000000),
                        ),
                        name="model_price_bounded",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, DROP),
    ]
