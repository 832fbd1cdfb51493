"""What happened, as rows, and how far each consumer has come.

A sequence of its own gives positions: the highest one in the table would be lost with the messages that are purged.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

POSITIONS = """
CREATE SEQUENCE billing_outbox_position OWNED BY billing_outboxmessage.position;
"""
KEEP = """
CREATE FUNCTION billing_keep_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what happened is kept as it was written' USING ERRCODE = 'restrict_violation';
END $$;

-- A message is only given its position, once.
CREATE TRIGGER keep BEFORE UPDATE ON billing_outboxmessage FOR EACH ROW
    WHEN (OLD.position IS NOT NULL OR (OLD.id, OLD.account_id, OLD.kind, OLD.payload, OLD.recorded_at)
        IS DISTINCT FROM (NEW.id, NEW.account_id, NEW.kind, NEW.payload, NEW.recorded_at))
    EXECUTE FUNCTION billing_keep_message();
CREATE TRIGGER keep_until_delivered BEFORE DELETE ON billing_outboxmessage FOR EACH ROW
    WHEN (OLD.position IS NULL) EXECUTE FUNCTION billing_keep_message();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0006_drop_former_plan_window"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("consumer", models.CharField(max_length=50)),
                (
                    "delivered",
                    models.BigIntegerField(help_text="Position of the last message that was delivered or skipped."),
                ),
                ("latest", models.BigIntegerField(help_text="Position of the account's last message.")),
                (
                    "due_at",
                    models.DateTimeField(
                        help_text="Not tried before; while a dispatcher is at it, the end of its lease."
                    ),
                ),
                (
                    "attempts",
                    models.PositiveIntegerField(default=0, help_text="Tries of the message after `delivered`."),
                ),
                ("error", models.CharField(blank=True, max_length=500)),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "outbox delivery",
                "verbose_name_plural": "outbox deliveries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("delivered__lt", models.F("latest"))),
                        fields=["consumer", "due_at"],
                        name="outbox_due",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("consumer", "account"), name="outbox_cursor_once")],
            },
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=50)),
                ("payload", models.JSONField(help_text="Ids, numbers and codes; never personal data.")),
                ("recorded_at", models.DateTimeField()),
                (
                    "position",
                    models.BigIntegerField(help_text="Consumers get an account's messages in this order.", null=True),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("position", None)), fields=["id"], name="outbox_without_position"),
                    models.Index(
                        condition=models.Q(("position__isnull", False)),
                        fields=["account", "position"],
                        name="outbox_of_account",
                    ),
                ],
            },
        ),
        migrations.RunSQL(POSITIONS, migrations.RunSQL.noop),
        migrations.RunSQL(KEEP, "DROP FUNCTION billing_keep_message() CASCADE"),
    ]
