"""Seller, buyers, rates, and the tax on documents; zero packs need no invoice."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import billing.models.parties

# What was issued before bears no tax. Credit notes are immutable for everybody else; SET CONSTRAINTS checks the keys at
# once: a table with checks to come cannot be altered.
FILL = """
UPDATE billing_invoice AS invoice SET due_at = issued_at, net = COALESCE((
    SELECT sum(amount) FROM billing_invoiceline AS line WHERE line.invoice_id = invoice.id AND kind <> 'balance'
), 0) WHERE status <> 'draft';
ALTER TABLE billing_creditnote DISABLE TRIGGER keep;
UPDATE billing_creditnote SET net = amount;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE billing_creditnote ENABLE TRIGGER keep;
"""


def _keep_issued(*columns: str) -> str:
    old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    return f"""
DROP TRIGGER keep_issued ON billing_invoice;
CREATE TRIGGER keep_issued BEFORE UPDATE ON billing_invoice FOR EACH ROW
    WHEN (OLD.status <> 'draft' AND (
        ({old}) IS DISTINCT FROM ({new})
        OR NEW.settled < OLD.settled
        OR (NEW.status <> OLD.status AND NOT (OLD.status = 'open' AND NEW.status IN ('paid', 'void')))))
    EXECUTE FUNCTION billing_keep_document();
"""


def _add_up(condition: str, message: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION billing_lines_add_up() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM written WHERE status <> 'draft' AND {condition}) THEN
        RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


BEFORE = ("number", "total", "currency", "account_id", "subscription_id", "issued_at")
NOW = (*BEFORE, "due_at", "net", "tax", "seller", "buyer", "reverse_charge")
KEEP = (
    _keep_issued(*NOW)
    + _add_up(
        "(SELECT sum(amount) IS DISTINCT FROM total"
        " OR COALESCE(sum(amount) FILTER (WHERE kind <> 'balance'), 0) <> net + tax"
        " FROM billing_invoiceline AS line WHERE line.invoice_id = written.id)",
        "an invoice''s total is the sum of its lines, and net and tax are what was billed",
    )
    + """
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_invoicetax
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
CREATE TRIGGER keep_added AFTER INSERT ON billing_invoicetax REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_lines();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_creditnotetax
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
"""
)
KEEP_BEFORE = (
    _keep_issued(*BEFORE)
    + _add_up(
        "total IS DISTINCT FROM (SELECT sum(amount) FROM billing_invoiceline AS line WHERE line.invoice_id = written.id)",
        "an invoice''s total is the sum of its lines",
    )
    + """
DROP TRIGGER keep ON billing_invoicetax;
DROP TRIGGER keep_added ON billing_invoicetax;
DROP TRIGGER keep ON billing_creditnotetax;
"""
)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0020_coupons"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BillingDetails",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "address",
                    models.TextField(
                        blank=True,
                        help_text="Street and number; further lines as they are.",
                        max_length=500,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "city",
                    models.CharField(
                        blank=True,
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "postcode",
                    models.CharField(
                        blank=True,
                        max_length=20,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "country",
                    models.CharField(
                        help_text="Two capital letters (ISO 3166-1), such as DE.",
                        max_length=2,
                        validators=[billing.models.parties.existing_country],
                    ),
                ),
                (
                    "vat_id",
                    models.CharField(
                        blank=True, help_text="Checked by the country's rule.", max_length=30, verbose_name="VAT number"
                    ),
                ),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "verbose_name_plural": "billing details",
                "ordering": ["-changed_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="CreditNoteTax",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("net", models.DecimalField(decimal_places=4, max_digits=18)),
                ("tax", models.DecimalField(decimal_places=4, max_digits=18)),
            ],
            options={
                "verbose_name_plural": "credit note taxes",
                "ordering": ["credit_note", "pk"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalSeller",
            fields=[
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "address",
                    models.TextField(
                        blank=True,
                        help_text="Street and number; further lines as they are.",
                        max_length=500,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "city",
                    models.CharField(
                        blank=True,
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "postcode",
                    models.CharField(
                        blank=True,
                        max_length=20,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "country",
                    models.CharField(
                        help_text="Two capital letters (ISO 3166-1), such as DE.",
                        max_length=2,
                        validators=[billing.models.parties.existing_country],
                    ),
                ),
                (
                    "vat_id",
                    models.CharField(
                        blank=True, help_text="Checked by the country's rule.", max_length=30, verbose_name="VAT number"
                    ),
                ),
                ("id", models.PositiveSmallIntegerField(db_index=True, default=1, editable=False)),
                (
                    "email",
                    models.EmailField(blank=True, help_text="Where customers ask about an invoice.", max_length=254),
                ),
                (
                    "iban",
                    models.CharField(
                        blank=True,
                        help_text="Where to pay; stands on unpaid invoices.",
                        max_length=42,
                        verbose_name="IBAN",
                    ),
                ),
                (
                    "payment_text",
                    models.CharField(
                        blank=True,
                        help_text="How to pay, in a sentence or two.",
                        max_length=500,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "payment_days",
                    models.PositiveSmallIntegerField(
                        default=14,
                        help_text="Days from issue in which an invoice is to be paid.",
                        validators=[django.core.validators.MaxValueValidator(365)],
                    ),
                ),
                (
                    "reverse_charge_text",
                    models.CharField(
                        default="Reverse charge: VAT to be accounted for by the recipient",
                        help_text="Stands on invoices whose tax the buyer owes.",
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
            ],
            options={
                "verbose_name": "historical seller",
                "verbose_name_plural": "historical seller",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalTaxRate",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                (
                    "country",
                    models.CharField(
                        help_text="Of the buyer; two capital letters, such as DE.",
                        max_length=2,
                        validators=[billing.models.parties.existing_country],
                    ),
                ),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="Such as 19. 0 from then on: taxed at zero.",
                        max_digits=7,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("100")),
                        ],
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        default="VAT",
                        help_text="As invoices call it: VAT, GST …",
                        max_length=20,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "valid_from",
                    models.DateTimeField(help_text="In UTC. It holds until a later row of the country does."),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
            ],
            options={
                "verbose_name": "historical tax rate",
                "verbose_name_plural": "historical tax rates",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="InvoiceTax",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("category", models.CharField(help_text="As EN 16931 has it: S, Z, AE or O.", max_length=2)),
                ("percent", models.DecimalField(decimal_places=4, max_digits=7)),
                ("country", models.CharField(blank=True, max_length=2)),
                ("name", models.CharField(blank=True, max_length=20)),
                ("included", models.BooleanField(default=False, help_text="The lines' amounts contain it.")),
                ("net", models.DecimalField(decimal_places=4, max_digits=18)),
                ("tax", models.DecimalField(decimal_places=4, max_digits=18)),
            ],
            options={
                "verbose_name_plural": "invoice taxes",
                "ordering": ["invoice", "pk"],
            },
        ),
        migrations.CreateModel(
            name="Seller",
            fields=[
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "address",
                    models.TextField(
                        blank=True,
                        help_text="Street and number; further lines as they are.",
                        max_length=500,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "city",
                    models.CharField(
                        blank=True,
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "postcode",
                    models.CharField(
                        blank=True,
                        max_length=20,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "country",
                    models.CharField(
                        help_text="Two capital letters (ISO 3166-1), such as DE.",
                        max_length=2,
                        validators=[billing.models.parties.existing_country],
                    ),
                ),
                (
                    "vat_id",
                    models.CharField(
                        blank=True, help_text="Checked by the country's rule.", max_length=30, verbose_name="VAT number"
                    ),
                ),
                ("id", models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                (
                    "email",
                    models.EmailField(blank=True, help_text="Where customers ask about an invoice.", max_length=254),
                ),
                (
                    "iban",
                    models.CharField(
                        blank=True,
                        help_text="Where to pay; stands on unpaid invoices.",
                        max_length=42,
                        verbose_name="IBAN",
                    ),
                ),
                (
                    "payment_text",
                    models.CharField(
                        blank=True,
                        help_text="How to pay, in a sentence or two.",
                        max_length=500,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "payment_days",
                    models.PositiveSmallIntegerField(
                        default=14,
                        help_text="Days from issue in which an invoice is to be paid.",
                        validators=[django.core.validators.MaxValueValidator(365)],
                    ),
                ),
                (
                    "reverse_charge_text",
                    models.CharField(
                        default="Reverse charge: VAT to be accounted for by the recipient",
                        help_text="Stands on invoices whose tax the buyer owes.",
                        max_length=200,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "seller",
            },
        ),
        migrations.CreateModel(
            name="TaxRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "country",
                    models.CharField(
                        help_text="Of the buyer; two capital letters, such as DE.",
                        max_length=2,
                        validators=[billing.models.parties.existing_country],
                    ),
                ),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=4,
                        help_text="Such as 19. 0 from then on: taxed at zero.",
                        max_digits=7,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("100")),
                        ],
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        default="VAT",
                        help_text="As invoices call it: VAT, GST …",
                        max_length=20,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[^\\t\\n\\r\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]*\\Z",
                                "Leave out line breaks and control characters.",
                            )
                        ],
                    ),
                ),
                (
                    "valid_from",
                    models.DateTimeField(help_text="In UTC. It holds until a later row of the country does."),
                ),
            ],
            options={
                "ordering": ["country", "-valid_from"],
            },
        ),
        migrations.AddField(
            model_name="creditnote",
            name="net",
            field=models.DecimalField(decimal_places=4, default=0, max_digits=18),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="creditnote",
            name="tax",
            field=models.DecimalField(decimal_places=4, default=0, max_digits=18),
        ),
        migrations.AddField(
            model_name="invoice",
            name="buyer",
            field=models.JSONField(help_text="As at the issue.", null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="due_at",
            field=models.DateTimeField(help_text="Until when it is to be paid.", null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="net",
            field=models.DecimalField(
                decimal_places=4, default=0, help_text="What was billed, without tax.", max_digits=18
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="reverse_charge",
            field=models.BooleanField(default=False, help_text="The buyer owes the tax of a line."),
        ),
        migrations.AddField(
            model_name="invoice",
            name="seller",
            field=models.JSONField(help_text="As at the issue.", null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="tax",
            field=models.DecimalField(decimal_places=4, default=0, max_digits=18),
        ),
        migrations.AlterField(
            model_name="creditnote",
            name="amount",
            field=models.DecimalField(decimal_places=4, help_text="With tax.", max_digits=18),
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
                    ("tax", "tax on the lines before it"),
                    ("balance", "balance used"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="tokenpackpurchase",
            name="invoice",
            field=models.OneToOneField(
                help_text="None of a pack that costs nothing, unless zero invoices are issued.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="token_pack_purchase",
                to="billing.invoice",
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount", django.db.models.expressions.CombinedExpression(models.F("net"), "+", models.F("tax")))
                ),
                name="credit_note_adds_up",
            ),
        ),
        migrations.AddField(
            model_name="billingdetails",
            name="account",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="billing_details", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="creditnotetax",
            name="credit_note",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="taxes",
                to="billing.creditnote",
            ),
        ),
        migrations.AddField(
            model_name="historicalseller",
            name="history_user",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="historicaltaxrate",
            name="history_user",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="invoicetax",
            name="invoice",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="taxes", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="creditnotetax",
            name="of",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_note_taxes",
                to="billing.invoicetax",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="taxed_by",
            field=models.ForeignKey(
                db_index=False,
                help_text="None of a balance that was used, and where there was no seller.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="billing.invoicetax",
            ),
        ),
        migrations.AddConstraint(
            model_name="seller",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="seller_is_one"),
        ),
        migrations.AddConstraint(
            model_name="taxrate",
            constraint=models.UniqueConstraint(fields=("country", "valid_from"), name="tax_rate_once"),
        ),
        migrations.AddConstraint(
            model_name="taxrate",
            constraint=models.CheckConstraint(
                condition=models.Q(("percent__gte", 0), ("percent__lte", 100)), name="tax_rate_bounded"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicetax",
            constraint=models.UniqueConstraint(
                fields=("invoice", "category", "percent", "country", "name", "included"), name="invoice_tax_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnotetax",
            constraint=models.UniqueConstraint(fields=("credit_note", "of"), name="credit_note_tax_once"),
        ),
        migrations.RunSQL(KEEP, KEEP_BEFORE),
    ]
