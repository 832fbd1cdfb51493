"""Who may look at charges by card, and at disputes."""

from typing import Any

from django.db import migrations

from usage import roles

SEEN = ("billing.view_paymentattempt", "billing.view_pastdue", "billing.view_dispute")


def grant(apps: Any, schema_editor: Any) -> None:
    for role in roles.SEES_ALL:
        roles.grant(apps, role, SEEN)


class Migration(migrations.Migration):
    dependencies = [("usage", "0013_roles_of_money"), ("billing", "0033_payment_attempts")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=False)]
