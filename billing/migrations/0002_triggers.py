"""Triggers: a fence is raised in the transaction that changes a fact, and issued documents stay as they are."""

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

DOCUMENTS = """
CREATE FUNCTION billing_keep_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an issued document is not changed; issue a credit note' USING ERRCODE = 'restrict_violation';
END $$;

-- An issued invoice is only settled, paid or voided.
CREATE TRIGGER keep_issued BEFORE UPDATE ON billing_invoice FOR EACH ROW
    WHEN (OLD.status <> 'draft' AND (
        (OLD.number, OLD.total, OLD.currency, OLD.account_id, OLD.subscription_id, OLD.issued_at)
            IS DISTINCT FROM (NEW.number, NEW.total, NEW.currency, NEW.account_id, NEW.subscription_id, NEW.issued_at)
        OR NEW.settled < OLD.settled
        OR (NEW.status <> OLD.status AND NOT (OLD.status = 'open' AND NEW.status IN ('paid', 'void')))))
    EXECUTE FUNCTION billing_keep_document();
CREATE TRIGGER keep BEFORE DELETE ON billing_invoice FOR EACH ROW
    WHEN (OLD.status <> 'draft') EXECUTE FUNCTION billing_keep_document();

CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
-- The lines are written before their invoice is issued; from then on none is added.
-- A session keeps the plan it made while the tables were small: by index, whatever they seemed then.
CREATE FUNCTION billing_keep_lines() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added WHERE (SELECT status FROM billing_invoice AS i WHERE i.id = added.invoice_id) <> 'draft'
    ) THEN
        RAISE EXCEPTION 'an issued document is not changed; issue a credit note' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing_lines_add_up() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM written WHERE status <> 'draft' AND total IS DISTINCT FROM
            (SELECT sum(amount) FROM billing_invoiceline AS line WHERE line.invoice_id = written.id)
    ) THEN
        RAISE EXCEPTION 'an invoice''s total is the sum of its lines' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER keep_added AFTER INSERT ON billing_invoiceline REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION billing_keep_lines();
CREATE TRIGGER add_up AFTER INSERT ON billing_invoice REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION billing_lines_add_up();
CREATE TRIGGER add_up_later AFTER UPDATE ON billing_invoice REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION billing_lines_add_up();

CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_creditnote
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON billing_balanceentry
    FOR EACH ROW EXECUTE FUNCTION billing_keep_document();
"""

TERMS_OF_SALE = """
CREATE FUNCTION billing_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_subscription WHERE OLD.id IN (plan_id, scheduled_plan_id)) THEN
        RAISE EXCEPTION 'the subscribers of % are billed in its currency and interval; add another plan', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER keep_terms BEFORE UPDATE ON billing_plan FOR EACH ROW
    WHEN ((OLD.currency, OLD.interval) IS DISTINCT FROM (NEW.currency, NEW.interval))
    EXECUTE FUNCTION billing_keep_terms();
"""

CATALOGUE_TABLES = [
    "billing_capability",
    "billing_plan",
    "billing_plan_capabilities",
    "billing_feature",
    "billing_route",
]
ACCOUNT_TABLES = ["billing_limitoverride", "billing_tokentopup", "billing_apikey"]


TERMS = (
    "account_id",
    "plan_id",
    "status",
    "anchor",
    "scheduled_plan_id",
    "scheduled_at",
    "former_quota_window",
    "former_quota_window_until",
)


def _terms(row: str) -> str:
    return ", ".join(f"{row}.{column}" for column in TERMS)


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
        # Not for every renewal: a period that ends where the next begins changes nothing that a call may do.
        "CREATE TRIGGER fence AFTER INSERT OR DELETE ON billing_subscription"
        " FOR EACH ROW EXECUTE FUNCTION billing_account_changed('account_id')",
        "CREATE TRIGGER fence_terms AFTER UPDATE ON billing_subscription FOR EACH ROW"
        f" WHEN (({_terms('OLD')}) IS DISTINCT FROM ({_terms('NEW')}))"
        " EXECUTE FUNCTION billing_account_changed('account_id')",
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
        migrations.RunSQL(DOCUMENTS, migrations.RunSQL.noop),
        migrations.RunSQL(TERMS_OF_SALE, migrations.RunSQL.noop),
        migrations.RunPython(create_triggers, migrations.RunPython.noop),
    ]
