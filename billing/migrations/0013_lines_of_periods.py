"""A line says which billing period it belongs to, and periods may be counted from an anchor that has moved."""

import django.db.models.deletion
from django.db import migrations, models

# Lines are immutable for everybody else. SET CONSTRAINTS checks the keys at once: a table with checks to come cannot be altered.
LINK = """
ALTER TABLE billing_invoiceline DISABLE TRIGGER keep;
UPDATE billing_invoiceline AS line SET billing_period_id = period.id
    FROM billing_invoice AS invoice, billing_billingperiod AS period
    WHERE invoice.id = line.invoice_id AND period.subscription_id = invoice.subscription_id
        AND period.starts_at <= line.period_start AND line.period_end <= period.ends_at;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE billing_invoiceline ENABLE TRIGGER keep;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_ending")]

    operations = [
        migrations.AddField(
            model_name="invoiceline",
            name="billing_period",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="billing.billingperiod",
            ),
        ),
        migrations.RunSQL(LINK, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="subscription",
            name="anchor_number",
            field=models.PositiveIntegerField(
                default=0, help_text="The number of the billing period that starts at the anchor."
            ),
        ),
        migrations.AlterField(
            model_name="billingperiod",
            name="number",
            field=models.PositiveIntegerField(help_text="The subscription's first is 0."),
        ),
    ]
