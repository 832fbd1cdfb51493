"""A subscription may end: when it is going to, why, and when it did."""

from typing import Any

from django.db import migrations, models
from django.db.models import F, Q

OLD_TERMS = (
    "account_id",
    "plan_id",
    "status",
    "anchor",
    "scheduled_plan_id",
    "scheduled_at",
    "former_quota_window_from",
    "former_quota_window_until",
)
DROP = "DROP TRIGGER fence_terms ON billing_subscription"


def trigger(columns: tuple[str, ...]) -> str:
    return (
        "CREATE TRIGGER fence_terms AFTER UPDATE ON billing_subscription FOR EACH ROW"
        f" WHEN (({', '.join(f'OLD.{column}' for column in columns)})"
        f" IS DISTINCT FROM ({', '.join(f'NEW.{column}' for column in columns)}))"
        " EXECUTE FUNCTION billing_account_changed('account_id')"
    )


def date_ends(apps: Any, schema_editor: Any) -> None:
    """Until now only subscriptions of deactivated users ended, each with its period."""
    apps.get_model("billing", "Subscription").objects.filter(status="canceled").update(ended_at=F("period_ends_at"))


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_usage_windows_apart")]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="cancel_at",
            field=models.DateTimeField(blank=True, help_text="It ends here instead of being renewed.", null=True),
        ),
        migrations.AddField(
            model_name="subscription",
            name="cancel_reason",
            field=models.CharField(blank=True, default="", max_length=200),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="subscription", name="ended_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.RunPython(date_ends, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                name="subscription_one_follows", condition=Q(scheduled_at__isnull=True) | Q(cancel_at__isnull=True)
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                name="subscription_ended_when_canceled",
                condition=Q(status="canceled", ended_at__isnull=False)
                | Q(~Q(status="canceled"), ended_at__isnull=True),
            ),
        ),
        migrations.RunSQL(
            [DROP, trigger((*OLD_TERMS, "cancel_at"))],
            [DROP, trigger(OLD_TERMS)],
        ),
    ]
