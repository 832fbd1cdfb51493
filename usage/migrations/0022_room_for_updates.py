"""Room on the pages of the sums, where rows are changed again and again.

A new version of a row that finds room on its page needs no new entries in the indexes. Pages that are there stay as
they are; those of new windows and days are made so.
"""

from django.db import migrations

TABLES = ("usage_windowusage", "usage_featureusage", "usage_dailyusage")


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0021_roles_of_webhooks"),
    ]

    operations = [
        migrations.RunSQL(
            [f"ALTER TABLE {table} SET (fillfactor = 50)" for table in TABLES],
            [f"ALTER TABLE {table} RESET (fillfactor)" for table in TABLES],
        )
    ]
