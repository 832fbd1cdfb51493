"""Who of the staff sees webhooks, and who sends again what was not delivered."""

from typing import Any

from django.db import migrations

from usage import roles


def grant(apps: Any, schema_editor: Any) -> None:
    seen = ["billing.view_webhookendpoint", "billing.view_webhookdelivery"]
    for role in roles.SEES_ALL:
        roles.grant(apps, role, seen)
    roles.grant(apps, roles.SUPPORT, ["billing.change_webhookdelivery"])


class Migration(migrations.Migration):
    dependencies = [("usage", "0020_received_events"), ("billing", "0038_webhooks")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=False)]
