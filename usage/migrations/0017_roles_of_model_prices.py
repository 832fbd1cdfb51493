"""Who sells features sells models by their units, too; who sees the catalogue sees them."""

from typing import Any

from django.db import migrations

from usage import roles


def grant(apps: Any, schema_editor: Any) -> None:
    for role in roles.SEES_ALL:
        roles.grant(apps, role, ["billing.view_modelprice"])
    roles.grant(apps, roles.CATALOGUE, [f"billing.{verb}_modelprice" for verb in ("view", "add", "delete")])


class Migration(migrations.Migration):
    dependencies = [("usage", "0016_roles_of_chains"), ("billing", "0035_model_prices")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=False)]
