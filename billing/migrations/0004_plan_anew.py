"""The checks of whole statements are planned each time they run.

A session keeps the plan of a statement without parameters. Made while there were no invoices, it looked for each of
theirs in whatever index came first, by reading all of it: a close that began with an empty table went on ever slower.
"""

from django.db import migrations

CHECKS = """
CREATE OR REPLACE FUNCTION billing_keep_lines() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    late boolean;
BEGIN
    EXECUTE $check$
        SELECT EXISTS (
            SELECT FROM added WHERE (SELECT status FROM billing_invoice AS i WHERE i.id = added.invoice_id) <> 'draft'
        )
    $check$ INTO late;
    IF late THEN
        RAISE EXCEPTION 'an issued document is not changed; issue a credit note' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION billing_lines_add_up() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    wrong boolean;
BEGIN
    EXECUTE $check$
        SELECT EXISTS (
            SELECT FROM written WHERE status <> 'draft' AND total IS DISTINCT FROM
                (SELECT sum(amount) FROM billing_invoiceline AS line WHERE line.invoice_id = written.id)
        )
    $check$ INTO wrong;
    IF wrong THEN
        RAISE EXCEPTION 'an invoice''s total is the sum of its lines' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_fence_changed")]

    operations = [migrations.RunSQL(CHECKS, migrations.RunSQL.noop)]
