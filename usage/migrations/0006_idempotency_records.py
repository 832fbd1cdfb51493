import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """Three states of a key in place of runs that both engines counted; the table keeps its name."""

    dependencies = [
        ("usage", "0005_runs_by_redis"),
    ]

    operations = [
        migrations.AlterModelTable(name="receipt", table="usage_receipt"),
        migrations.RenameModel(old_name="Receipt", new_name="IdempotencyRecord"),
        migrations.RemoveField(model_name="idempotencyrecord", name="runs"),
        migrations.RemoveField(model_name="idempotencyrecord", name="redis_charges"),
        migrations.AddField(
            model_name="idempotencyrecord", name="in_flight_until", field=models.DateTimeField(null=True)
        ),
        migrations.AddField(model_name="idempotencyrecord", name="reruns", field=models.IntegerField(default=0)),
        migrations.AddField(model_name="idempotencyrecord", name="answer_head", field=models.BinaryField(null=True)),
        migrations.AddField(model_name="idempotencyrecord", name="answer_body", field=models.BinaryField(null=True)),
        migrations.AddField(
            model_name="idempotencyrecord",
            name="others",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None),
        ),
        migrations.AddField(model_name="idempotencyrecord", name="released", field=models.BooleanField(default=False)),
        migrations.AddIndex(
            model_name="idempotencyrecord",
            index=models.Index(
                condition=models.Q(("others", []), _negated=True),
                fields=["account_id"],
                name="charged_more_than_once",
            ),
        ),
        migrations.AlterField(
            model_name="usagelog",
            name="kind",
            field=models.CharField(
                choices=[("charge", "Charge"), ("void", "Void"), ("settle", "Settle"), ("refused", "Refused")],
                max_length=10,
            ),
        ),
    ]
