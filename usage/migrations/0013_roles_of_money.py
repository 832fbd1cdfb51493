"""Who sees invoices and payments sees what money came in and went out, too."""

from typing import Any

from django.db import migrations

from usage import roles

SEEN = [f"billing.view_{model}" for model in ("moneyin", "reversal", "refund")]


def grant(apps: Any, schema_editor: Any) -> None:
    for role in roles.SEES_ALL:
        roles.grant(apps, role, SEEN)


class Migration(migrations.Migration):
    dependencies = [("usage", "0012_staff_roles"), ("billing", "0031_money_in_of_payments")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=False)]
