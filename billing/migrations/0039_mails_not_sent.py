from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index is built while mails are sent

    dependencies = [
        ("billing", "0038_webhooks"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="sentmail",
            index=models.Index(fields=["given_up_at"], name="mails_not_sent", condition=models.Q(("sent_at", None))),
        ),
    ]
