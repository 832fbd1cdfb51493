"""manage.py create_test_users: one user a plan, each with a new API key, to try the API with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError, transaction
from django.utils import timezone

from billing.models import ApiKey, Plan, Subscription
from billing.subscriptions import opening
from billing.subscriptions.current import current_subscription
from billing.users import User, name_field

KEY_NAME = "made by create_test_users"


@dataclass(frozen=True)
class TestUser:
    username: str
    plan: str
    api_key: str


class Command(BaseCommand):
    help = (
        "Create one user for each plan on sale, named <plan>_user and subscribed to it. Users that exist are kept, "
        "with their subscription. Every run makes a new API key for each user; the older ones stay valid."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help='print [{"username", "plan", "api_key"}] and no more')
        parser.add_argument(
            "--password",
            metavar="PW",
            help="set this password for each of the users; without it new users can only use their API key",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            plans = list(Plan.objects.on_sale())
        except ProgrammingError as error:
            raise CommandError("the tables are missing; run manage.py migrate first") from error
        if not plans:
            raise CommandError("there is no plan on sale; run manage.py seed_catalogue first")
        with transaction.atomic():
            users = [self._test_user(plan, options["password"], now) for plan in plans]
        if options["json"]:
            self.stdout.write(json.dumps([asdict(user) for user in users]))
        else:
            self._print_table(users)

    def _test_user(self, plan: Plan, password: str | None, now: datetime) -> TestUser:
        username = f"{plan.code}_user" + ("@example.com" if name_field() == "email" else "")
        user, _ = User.objects.get_or_create(**{name_field(): username}, defaults={"password": make_password(None)})
        if user.is_staff or user.is_superuser:
            raise CommandError(f"{username} exists and is staff; rename that user: test users are customers")
        if not user.is_active:
            self.stderr.write(f"{username} is deactivated: its API key is refused until staff activate the user")
        if password is not None and not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        if not Subscription.objects.live().filter(account=user).exists():
            opening.subscribe(user.pk, plan, now)
        _, key = ApiKey.issue(account=user, name=KEY_NAME)
        return TestUser(username, current_subscription(user.pk, now).plan.code, key)

    def _print_table(self, users: list[TestUser]) -> None:
        rows = [("USERNAME", "PLAN", "API KEY"), *((user.username, user.plan, user.api_key) for user in users)]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for username, plan, key in rows:
            self.stdout.write(f"{username:<{widths[0]}}  {plan:<{widths[1]}}  {key}")
