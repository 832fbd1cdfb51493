"""Who looks at saved cards and at what their provider told, and who removes one or has an event processed again."""

from typing import Any

from django.db import migrations

from usage import roles

SEEN = ["billing.view_paymentmethod", "billing.view_providerevent"]
CHANGED = ["billing.delete_paymentmethod", "billing.change_providerevent"]


def grant(apps: Any, schema_editor: Any) -> None:
    for role in roles.SEES_ALL:
        roles.grant(apps, role, SEEN)
    roles.grant(apps, roles.BILLING, CHANGED)


class Migration(migrations.Migration):
    dependencies = [("usage", "0014_roles_of_card_payments"), ("billing", "0033_payment_attempts")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=False)]
