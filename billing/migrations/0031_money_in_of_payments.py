"""Each payment of before is a part of money that came in: all of it, noted by hand."""

import django.db.models.deletion
from django.db import migrations, models

# References were unique for an invoice only: where one stands on several invoices, all but the first get the invoice's
# number, as nobody can tell whether it was the same money. Writers wait for the whole; readers only for its end.
# SET CONSTRAINTS checks the keys at once: a table with checks to come cannot be altered.
FILL = """
LOCK TABLE billing_payment IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO billing_moneyin
    (id, account_id, invoice_id, currency, amount, to_balance, source, reference, received_at, recorded_at)
SELECT payment.id, invoice.account_id, invoice.id, invoice.currency, payment.amount, 0, 'manual',
    CASE WHEN row_number() OVER (PARTITION BY payment.reference ORDER BY payment.id) = 1 THEN payment.reference
    ELSE payment.reference || ' (' || invoice.number || ')' END,
    payment.paid_at, payment.paid_at
FROM billing_payment AS payment JOIN billing_invoice AS invoice ON invoice.id = payment.invoice_id;
UPDATE billing_payment SET money_in_id = id;
SELECT setval(pg_get_serial_sequence('billing_moneyin', 'id'), max(id)) FROM billing_moneyin HAVING max(id) > 0;
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0030_money_in")]

    operations = [
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="payment",
            name="money_in",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="billing.moneyin"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("reversal__isnull", True)),
                    models.Q(("amount__lt", 0), ("reversal__isnull", False)),
                    _connector="OR",
                ),
                name="payment_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reversal__isnull", True)), fields=("money_in", "invoice"), name="payment_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reversal__isnull", False)),
                fields=("reversal", "invoice"),
                name="payment_reversed_once",
            ),
        ),
    ]
