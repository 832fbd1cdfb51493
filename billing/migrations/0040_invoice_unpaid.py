from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the one index is built, and then the other dropped, while invoices are written

    dependencies = [
        ("billing", "0039_mails_not_sent"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="invoice",
            index=models.Index(
                fields=["status", "-issued_at", "-id"],
                include=["currency", "total", "settled", "due_at"],
                name="invoice_unpaid",
                condition=models.Q(("status", "paid"), _negated=True),
            ),
        ),
        RemoveIndexConcurrently(model_name="invoice", name="invoice_not_paid"),
    ]
