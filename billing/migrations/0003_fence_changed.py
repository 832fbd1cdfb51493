"""A fence tells apart what changed: facts, which make a snapshot stale, or only a counter that Redis has to learn."""

from django.db import migrations, models

RAISE_BOTH = """
CREATE OR REPLACE FUNCTION billing_raise_fence(subject_id bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_fence AS fence (subject, version, changed, pushed) VALUES (subject_id, 2, 2, 1)
    ON CONFLICT (subject) DO UPDATE SET version = fence.version + 1, changed = fence.version + 1
$$;
"""
RAISE_ONE = """
CREATE OR REPLACE FUNCTION billing_raise_fence(subject_id bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_fence AS fence (subject, version, pushed) VALUES (subject_id, 2, 1)
    ON CONFLICT (subject) DO UPDATE SET version = fence.version + 1
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_triggers")]

    operations = [
        migrations.AddField("fence", "changed", models.BigIntegerField(default=1, db_default=1)),
        migrations.RunSQL("UPDATE billing_fence SET changed = version", migrations.RunSQL.noop),
        migrations.RunSQL(RAISE_BOTH, RAISE_ONE),
    ]
