"""The roles of staff."""

from django.db import migrations

from usage import roles


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0011_windows_of_the_present"),
        ("billing", "0028_account_notes"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [migrations.RunPython(roles.make, migrations.RunPython.noop, elidable=False)]
