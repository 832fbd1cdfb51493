"""Indexes for the pages that show reservations, and who of the staff sees them."""

from typing import Any

from django.db import migrations, models

from usage import roles


def grant(apps: Any, schema_editor: Any) -> None:
    for role in roles.SEES_ALL:
        roles.grant(apps, role, ["usage.view_reservation"])


class Migration(migrations.Migration):
    dependencies = [("usage", "0018_reservations")]

    operations = [
        # By the run first: staff look for one without knowing whose it is.
        migrations.RemoveIndex(model_name="reservation", name="reservations_of_run"),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(fields=["run", "account", "-opened_at"], name="reservations_of_run"),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("state", "open")),
                fields=["account", "-opened_at", "-id"],
                name="reservations_open_of_account",
            ),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("state", "expired"), ("uncollected__gt", 0), _connector="OR"),
                fields=["account", "-finished_at"],
                name="reservations_lost",
            ),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=models.Index(
                condition=models.Q(("uncollected__gt", 0)), fields=["-finished_at"], name="reservations_uncollected"
            ),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop, elidable=False),
    ]
