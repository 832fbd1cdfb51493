"""Money that came in, what was taken back and what was paid out; a payment becomes a part of money that came in."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

# What came in and what was taken back is kept as it is; so are payments, but for those that 0031 gives their money.
KEEP = """
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_moneyin
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_reversal
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
CREATE TRIGGER keep BEFORE DELETE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
DROP TRIGGER keep ON billing_payment;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW WHEN (OLD.money_in_id IS NOT NULL) EXECUTE FUNCTION billing_keep_document();
"""
KEEP_BEFORE = """
DROP TRIGGER keep ON billing_payment;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
"""
KEPT = [
    "number",
    "total",
    "currency",
    "account_id",
    "subscription_id",
    "issued_at",
    "due_at",
    "net",
    "tax",
    "seller",
    "buyer",
    "reverse_charge",
]


def _keep_issued(change: str) -> str:
    """What an issued invoice is kept from, but for its `settled` and `status`, which change together."""
    old, new = (", ".join(f"{row}.{column}" for column in KEPT) for row in ("OLD", "NEW"))
    return f"""
DROP TRIGGER keep_issued ON billing_invoice;
CREATE TRIGGER keep_issued BEFORE UPDATE ON billing_invoice FOR EACH ROW
    WHEN (OLD.status <> 'draft' AND (({old}) IS DISTINCT FROM ({new}) OR {change}))
    EXECUTE FUNCTION billing_keep_document();
"""


# Settled, paid or voided; and due again, which leaves it open.
SETTLED_OR_DUE_AGAIN = _keep_issued("""
        (NEW.settled < OLD.settled AND NEW.status <> 'open')
        OR (NEW.status <> OLD.status AND NOT (
            (OLD.status = 'open' AND NEW.status IN ('paid', 'void'))
            OR (OLD.status = 'paid' AND NEW.status = 'open' AND NEW.settled < OLD.settled)))""")
SETTLED = _keep_issued("""
        NEW.settled < OLD.settled
        OR (NEW.status <> OLD.status AND NOT (OLD.status = 'open' AND NEW.status IN ('paid', 'void')))""")


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0029_indexes_of_lists"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="MoneyIn",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.DecimalField(decimal_places=4, max_digits=18)),
                (
                    "to_balance",
                    models.DecimalField(
                        decimal_places=4,
                        default=0,
                        help_text="What nothing was due for: it became balance.",
                        max_digits=18,
                    ),
                ),
                (
                    "source",
                    models.CharField(help_text="Who knows of it: manual, a card provider, a chain.", max_length=50),
                ),
                (
                    "reference",
                    models.CharField(
                        help_text="The source's name of it: the same one is the same money.", max_length=230
                    ),
                ),
                ("received_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name": "money in",
                "verbose_name_plural": "money in",
                "ordering": ["-received_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.DecimalField(decimal_places=4, max_digits=18)),
                (
                    "provider",
                    models.CharField(help_text="Who pays it out: manual, a card provider, a chain.", max_length=50),
                ),
                (
                    "reference",
                    models.CharField(blank=True, help_text="The provider's id, once it is known.", max_length=230),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("sent", "sent to the provider"),
                            ("unknown", "unknown: the provider's answer was lost"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                        ],
                        default="requested",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(max_length=200)),
                ("requested_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-requested_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Reversal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.DecimalField(decimal_places=4, max_digits=18)),
                ("from_balance", models.DecimalField(decimal_places=4, default=0, max_digits=18)),
                ("reason", models.CharField(max_length=200)),
                (
                    "reference",
                    models.CharField(help_text="Such as the id of the dispute: one reversal each.", max_length=230),
                ),
                ("reversed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-reversed_at", "-pk"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payment_positive",
        ),
        migrations.RemoveConstraint(
            model_name="payment",
            name="payment_once",
        ),
        migrations.AlterField(
            model_name="balanceentry",
            name="amount",
            field=models.DecimalField(
                decimal_places=4,
                help_text="Above zero: owed to the customer. Below: used by an invoice, taken back or paid out.",
                max_digits=18,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="paid_at",
            field=models.DateTimeField(help_text="When the money was received, or taken back."),
        ),
        migrations.AlterField(
            model_name="payment",
            name="reference",
            field=models.CharField(help_text="Such as the bank's or the card processor's id.", max_length=230),
        ),
        migrations.AddField(
            model_name="moneyin",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="money_in", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="moneyin",
            name="invoice",
            field=models.ForeignKey(
                db_index=False,
                help_text="The one that it was sent for; where it went, its payments say.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="money_sent",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="balanceentry",
            name="money_in",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="balance_entries",
                to="billing.moneyin",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="money_in",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payments",
                to="billing.moneyin",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="money_in",
            field=models.ForeignKey(
                help_text="What is paid back, where it goes back the way it came.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="billing.moneyin",
            ),
        ),
        migrations.AddField(
            model_name="balanceentry",
            name="refund",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="balance_entries",
                to="billing.refund",
            ),
        ),
        migrations.AddField(
            model_name="reversal",
            name="money_in",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversals",
                to="billing.moneyin",
            ),
        ),
        migrations.AddField(
            model_name="balanceentry",
            name="reversal",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="balance_entries",
                to="billing.reversal",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="reversal",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="payments",
                to="billing.reversal",
            ),
        ),
        migrations.AddIndex(
            model_name="moneyin",
            index=models.Index(fields=["-received_at", "-id"], name="money_in_received"),
        ),
        migrations.AddIndex(
            model_name="moneyin",
            index=models.Index(fields=["reference"], name="money_in_reference"),
        ),
        migrations.AddIndex(
            model_name="moneyin",
            index=models.Index(
                condition=models.Q(("to_balance__gt", 0)), fields=["account", "currency"], name="money_in_on_balance"
            ),
        ),
        migrations.AddConstraint(
            model_name="moneyin",
            constraint=models.UniqueConstraint(fields=("source", "reference"), name="money_in_once"),
        ),
        migrations.AddConstraint(
            model_name="moneyin",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="money_in_positive"),
        ),
        migrations.AddConstraint(
            model_name="moneyin",
            constraint=models.CheckConstraint(
                condition=models.Q(("to_balance__gte", 0), ("to_balance__lte", models.F("amount"))),
                name="money_in_to_balance_within",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(fields=["-requested_at", "-id"], name="refund_requested"),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("state__in", ["succeeded", "failed"]), _negated=True),
                fields=["state", "changed_at"],
                name="refund_unfinished",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reference", ""), _negated=True),
                fields=("provider", "reference"),
                name="refund_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="refund_positive"),
        ),
        migrations.AddIndex(
            model_name="reversal",
            index=models.Index(fields=["-reversed_at", "-id"], name="reversal_reversed"),
        ),
        migrations.AddConstraint(
            model_name="reversal",
            constraint=models.UniqueConstraint(fields=("money_in", "reference"), name="reversal_once"),
        ),
        migrations.AddConstraint(
            model_name="reversal",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="reversal_positive"),
        ),
        migrations.AddConstraint(
            model_name="reversal",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_balance__gte", 0), ("from_balance__lte", models.F("amount"))),
                name="reversal_from_balance_within",
            ),
        ),
        migrations.RunSQL(KEEP, KEEP_BEFORE),
        migrations.RunSQL(SETTLED_OR_DUE_AGAIN, SETTLED),
    ]
