"""The kind of a plan's quota window is fixed once the plan was sold, as its currency and interval are.

Sold is a plan that a subscription, a scheduled change or a billing period refers to.
"""

from typing import Any

from django.db import migrations
from django.utils import timezone

from billing.rules.usage_window import quota_window

KEEP_TERMS = """
CREATE OR REPLACE FUNCTION billing_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_subscription WHERE OLD.id IN (plan_id, scheduled_plan_id))
        OR EXISTS (SELECT FROM billing_billingperiod WHERE plan_id = OLD.id)
    THEN
        RAISE EXCEPTION 'plan % was sold: its currency, interval and quota window stay; add another plan', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER keep_terms ON billing_plan;
CREATE TRIGGER keep_terms BEFORE UPDATE ON billing_plan FOR EACH ROW
    WHEN ((OLD.currency, OLD.interval, OLD.quota_window) IS DISTINCT FROM
        (NEW.currency, NEW.interval, NEW.quota_window))
    EXECUTE FUNCTION billing_keep_terms();
"""
KEEP_TWO_TERMS = """
CREATE OR REPLACE FUNCTION billing_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_subscription WHERE OLD.id IN (plan_id, scheduled_plan_id)) THEN
        RAISE EXCEPTION 'the subscribers of % are billed in its currency and interval; add another plan', OLD.code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER keep_terms ON billing_plan;
CREATE TRIGGER keep_terms BEFORE UPDATE ON billing_plan FOR EACH ROW
    WHEN ((OLD.currency, OLD.interval) IS DISTINCT FROM (NEW.currency, NEW.interval))
    EXECUTE FUNCTION billing_keep_terms();
"""


def keep_windows_to_their_end(apps: Any, schema_editor: Any) -> None:
    """Subscribers of a plan whose kind was edited in their present window stay in that window to its end."""
    now = timezone.now()
    subscriptions = apps.get_model("billing", "Subscription").objects.filter(status="active")
    edited = subscriptions.filter(plan__quota_window_changed_at__isnull=False).select_related("plan")
    for row in edited.iterator():
        if row.former_quota_window_until is not None and now < row.former_quota_window_until:
            continue
        kind = row.plan.former_quota_window
        until = quota_window(kind, row.anchor, row.plan.quota_window_changed_at).end
        if now < until:
            subscriptions.filter(pk=row.pk).update(former_quota_window=kind, former_quota_window_until=until)


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_plan_anew")]

    operations = [
        migrations.RunPython(keep_windows_to_their_end, migrations.RunPython.noop),
        migrations.RunSQL(KEEP_TERMS, KEEP_TWO_TERMS),
    ]
