"""Triggers that raise a fence in the transaction that changes a fact, whichever door or statement changes it."""

from typing import Any

from django.conf import settings
from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION billing_raise_fence(subject_id bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_fence AS fence (subject, version, pushed) VALUES (subject_id, 2, 1)
    ON CONFLICT (subject) DO UPDATE SET version = fence.version + 1
$$;

CREATE FUNCTION billing_catalogue_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_raise_fence(0);
    RETURN NULL;
END $$;

-- The argument names the column that holds the account.
CREATE FUNCTION billing_account_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE before bigint; after bigint;
BEGIN
    IF TG_OP <> 'INSERT' THEN before := to_jsonb(OLD) ->> TG_ARGV[0]; END IF;
    IF TG_OP <> 'DELETE' THEN after := to_jsonb(NEW) ->> TG_ARGV[0]; END IF;
    IF before IS NOT NULL THEN PERFORM billing_raise_fence(before); END IF;
    IF after IS NOT NULL AND after IS DISTINCT FROM before THEN PERFORM billing_raise_fence(after); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a % is archived, never deleted', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;
"""

CATALOGUE_TABLES = [
    "billing_capability",
    "billing_plan",
    "billing_plan_capabilities",
    "billing_feature",
    "billing_route",
]
ACCOUNT_TABLES = ["billing_subscription", "billing_limitoverride", "billing_tokentopup", "billing_apikey"]


def create_triggers(apps: Any, schema_editor: Any) -> None:
    users = apps.get_model(settings.AUTH_USER_MODEL)._meta
    statements = [
        f"CREATE TRIGGER fence AFTER INSERT OR UPDATE OR DELETE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION billing_catalogue_changed()"
        for table in CATALOGUE_TABLES
    ]
    statements += [
        f"CREATE TRIGGER fence AFTER INSERT OR UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION billing_account_changed('account_id')"
        for table in ACCOUNT_TABLES
    ]
    statements += [
        f"CREATE TRIGGER fence AFTER UPDATE OF is_active ON {users.db_table} FOR EACH ROW"
        " WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active)"
        f" EXECUTE FUNCTION billing_account_changed('{users.pk.column}')",
        "CREATE TRIGGER keep BEFORE DELETE ON billing_plan FOR EACH ROW EXECUTE FUNCTION billing_refuse_delete('plan')",
    ]
    for statement in statements:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.RunSQL(FUNCTIONS, migrations.RunSQL.noop),
        migrations.RunPython(create_triggers, migrations.RunPython.noop),
    ]
