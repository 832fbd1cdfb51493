"""Trials: what a plan offers, the one of an account, and the period that costs nothing."""

import django.core.validators
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0018_erasure"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="billingperiod",
            name="is_trial",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="historicalplan",
            name="trial_days",
            field=models.PositiveIntegerField(
                default=0,
                help_text="Free days for accounts that pay nothing yet and never had a trial. 0 means none.",
                validators=[django.core.validators.MaxValueValidator(365)],
            ),
        ),
        migrations.AddField(
            model_name="historicalplan",
            name="trial_needs_payment_method",
            field=models.BooleanField(
                default=False,
                help_text="Of trials that begin from now on: without a payment method the subscription ends with its trial, and the default plan follows. The default plan itself never asks for one.",
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="trial_days",
            field=models.PositiveIntegerField(
                default=0,
                help_text="Free days for accounts that pay nothing yet and never had a trial. 0 means none.",
                validators=[django.core.validators.MaxValueValidator(365)],
            ),
        ),
        migrations.AddField(
            model_name="plan",
            name="trial_needs_payment_method",
            field=models.BooleanField(
                default=False,
                help_text="Of trials that begin from now on: without a payment method the subscription ends with its trial, and the default plan follows. The default plan itself never asks for one.",
            ),
        ),
        migrations.AddField(
            model_name="subscription",
            name="trial_ends_at",
            field=models.DateTimeField(blank=True, help_text="The account's only trial ends here, or did.", null=True),
        ),
        migrations.AddField(
            model_name="subscription",
            name="trial_needs_payment_method",
            field=models.BooleanField(
                db_default=False, default=False, help_text="As the plan said when the trial began."
            ),
        ),
        migrations.AddField(
            model_name="subscription",
            name="trial_notice_at",
            field=models.DateTimeField(
                editable=False, help_text="When to say that the trial ends soon; none once it was said.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(
                condition=models.Q(("trial_notice_at__isnull", False)),
                fields=["trial_notice_at"],
                name="trial_notice_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_trial", False), ("price", 0), _connector="OR"), name="period_trial_free"
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("trial_days__range", (0, 365))), name="plan_trial_bounded"
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.UniqueConstraint(
                condition=models.Q(("trial_ends_at__isnull", False)), fields=("account",), name="subscription_one_trial"
            ),
        ),
    ]
