"""The window in which a plan was last changed is kept as two instants, so that the next begins where it ends."""

from typing import Any

from django.db import migrations, models
from django.utils import timezone

from billing.rules.periods import MONTH, month_window, period_at

TERMS = (
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
CREATE = (
    "CREATE TRIGGER fence_terms AFTER UPDATE ON billing_subscription FOR EACH ROW"
    f" WHEN (({', '.join(f'OLD.{column}' for column in TERMS)})"
    f" IS DISTINCT FROM ({', '.join(f'NEW.{column}' for column in TERMS)}))"
    " EXECUTE FUNCTION billing_account_changed('account_id')"
)


def keep_windows(apps: Any, schema_editor: Any) -> None:
    """One that has ended is forgotten: what was used since was counted in the whole window that followed."""
    subscriptions, now = apps.get_model("billing", "Subscription").objects, timezone.now()
    subscriptions.filter(former_quota_window_until__lte=now).update(former_quota_window_until=None)
    for row in subscriptions.filter(former_quota_window_until__gt=now):
        by_period = row.former_quota_window == "billing_period"
        window = period_at(row.anchor, MONTH, now)[1] if by_period else month_window(now)
        subscriptions.filter(pk=row.pk).update(former_quota_window_from=window.start)


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_stored_response")]

    operations = [
        migrations.AddField(
            "subscription", "former_quota_window_from", models.DateTimeField(editable=False, null=True)
        ),
        migrations.RunPython(keep_windows, migrations.RunPython.noop),
        migrations.RunSQL(DROP, migrations.RunSQL.noop),
        migrations.RemoveField("subscription", "former_quota_window"),
        migrations.RunSQL(CREATE, migrations.RunSQL.noop),
    ]
