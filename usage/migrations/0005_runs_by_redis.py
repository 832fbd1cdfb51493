import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0004_reconciliation"),
    ]

    operations = [
        migrations.AddField(
            model_name="receipt",
            name="redis_charges",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="receipt",
            name="runs",
            field=models.IntegerField(),
        ),
        # Until now one of the runs was that of the charge itself, whoever had decided it: Redis knows of all receipts
        # by its calls or by recall, so it is Redis' to void.
        migrations.RunSQL(
            "UPDATE usage_receipt SET redis_charges = ARRAY[event_id], runs = runs - 1", migrations.RunSQL.noop
        ),
    ]
