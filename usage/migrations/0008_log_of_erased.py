"""The log lets go the metadata of an account's rows while an erasure of that account goes on, and nothing else."""

from django.db import migrations

BEFORE = """
CREATE OR REPLACE FUNCTION usage_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the usage log is append-only; a charge is taken back by a void' USING ERRCODE = 'restrict_violation';
END $$;
"""
# By name and not as whole rows: a table that was detached long ago may have its columns in another order.
AFTER = """
CREATE OR REPLACE FUNCTION usage_log_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.metadata IS NULL AND to_jsonb(NEW) - 'metadata' = to_jsonb(OLD) - 'metadata'
        AND EXISTS (SELECT FROM billing_erasure WHERE account_id = OLD.account_id AND finished_at IS NULL)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the usage log is append-only; a charge is taken back by a void' USING ERRCODE = 'restrict_violation';
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0007_usage_reset"), ("billing", "0018_erasure")]
    operations = [migrations.RunSQL(AFTER, BEFORE)]
