"""What was spent of a top-up when it lapsed, once it was counted; a change of the account's top-ups takes it back."""

from django.db import migrations, models

TRIGGER = """
-- Of which top-up a token was spent hangs on all that were there. Rows that nobody has counted are updated as well:
-- somebody may be storing at this moment what was counted without this change.
CREATE FUNCTION billing_count_top_ups_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE billing_tokentopup SET spent = NULL WHERE account_id = OLD.account_id AND expires_at > OLD.starts_at;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE billing_tokentopup SET spent = NULL WHERE account_id = NEW.account_id AND expires_at > NEW.starts_at;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER count_anew AFTER INSERT OR DELETE OR UPDATE OF account_id, tokens, starts_at, expires_at
    ON billing_tokentopup FOR EACH ROW EXECUTE FUNCTION billing_count_top_ups_anew();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_token_packs")]

    operations = [
        migrations.AddField(
            model_name="tokentopup",
            name="spent",
            field=models.PositiveBigIntegerField(
                blank=True,
                editable=False,
                help_text="What was used of it when it lapsed; blank until it has, and a call made it be counted.",
                null=True,
            ),
        ),
        migrations.RunSQL(TRIGGER, "DROP FUNCTION billing_count_top_ups_anew() CASCADE"),
    ]
