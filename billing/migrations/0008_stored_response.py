"""The model's name says what it is; its table keeps the name it has."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_outbox")]

    operations = [
        migrations.AlterModelTable(name="storedanswer", table="billing_storedanswer"),
        migrations.RenameModel(old_name="StoredAnswer", new_name="StoredResponse"),
    ]
