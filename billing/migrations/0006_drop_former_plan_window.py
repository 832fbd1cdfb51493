"""A plan has no former kind of quota window any more: its kind is fixed once it was sold."""

import django.db.models.deletion
from django.db import migrations, models

KINDS = [("calendar_month", "calendar month (UTC)"), ("billing_period", "billing period")]
HELP = "When the quota starts anew. It stays once the plan was sold."


def quota_window() -> models.CharField:
    return models.CharField(choices=KINDS, default="calendar_month", help_text=HELP, max_length=20)


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_plan_terms")]

    operations = [
        *(
            migrations.RemoveField(model, field)
            for model in ("historicalplan", "plan")
            for field in ("former_quota_window", "quota_window_changed_at")
        ),
        migrations.AlterField("historicalplan", "quota_window", quota_window()),
        migrations.AlterField("plan", "quota_window", quota_window()),
        migrations.AlterField(
            "subscription",
            "period_ends_at",
            models.DateTimeField(help_text="End of the period opened last: the renewal is due then."),
        ),
        # So that a plan can be asked for its periods; the column stays as it is.
        migrations.AlterField(
            "billingperiod",
            "plan",
            models.ForeignKey(
                "billing.plan",
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="billing_periods",
            ),
        ),
    ]
