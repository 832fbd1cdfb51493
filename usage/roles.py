"""The roles of staff, as groups with the permissions that each begins with; later the groups are the operator's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.management import create_permissions

from billing.users import right

SUPPORT, BILLING, CATALOGUE, AUDITOR = "support", "billing", "catalogue", "auditor"
OF_THE_CATALOGUE: Final = ("plan", "feature", "route", "capability", "tokenpack", "modelprice")
CHANGES: Final = {
    SUPPORT: (
        *(
            f"billing.{verb}_{model}"
            for model in ("limitoverride", "tokentopup")
            for verb in ("add", "change", "delete")
        ),
        "billing.add_accountnote",
        "billing.change_apikey",  # a key that has leaked is revoked at once
        "usage.add_usagereset",
    ),
    BILLING: (
        "billing.change_subscription",
        "billing.move_subscribers",
        "billing.change_invoice",
        "billing.change_cryptorefund",
        "billing.add_coupon",
        "billing.change_coupon",
        "billing.change_couponredemption",
        "billing.add_billingdetails",
        "billing.change_billingdetails",
        "billing.add_accountnote",
        "billing.delete_paymentmethod",
        "billing.change_providerevent",
    ),
    CATALOGUE: tuple(f"billing.{verb}_{model}" for model in OF_THE_CATALOGUE for verb in ("add", "change", "delete")),
    AUDITOR: (),
}
SEEN: Final = ("auth.view_group", "account.view_emailaddress")
"""Beside users, and all that there is of billing and usage. Not second factors: who knows a secret can log in by it."""
SEES_ALL: Final = (SUPPORT, BILLING, AUDITOR)
APPS: Final = ("auth", "account", "billing", "usage")


def make(apps: Any, schema_editor: Any = None) -> None:
    """Make each group that is missing; one that exists stays as it is. For a migration, by its state of the models."""
    _make_permissions(apps)
    groups, permissions = apps.get_model("auth", "Group").objects, apps.get_model("auth", "Permission").objects
    views = permissions.filter(content_type__app_label__in=("billing", "usage"), codename__startswith="view_")
    for role, changes in CHANGES.items():
        group, is_new = groups.get_or_create(name=role)
        if not is_new:
            continue
        seen = [right("view"), *SEEN] if role in SEES_ALL else [f"billing.view_{model}" for model in OF_THE_CATALOGUE]
        group.permissions.set([*_named(permissions, [*seen, *changes]), *(views if role in SEES_ALL else ())])


def grant(apps: Any, role: str, names: Iterable[str]) -> None:
    """Add permissions, such as `billing.view_plan`, to a role: for migrations that add a model. A role that was deleted
    stays so."""
    _make_permissions(apps)
    for group in apps.get_model("auth", "Group").objects.filter(name=role):
        group.permissions.add(*_named(apps.get_model("auth", "Permission").objects, names))


def _make_permissions(apps: Any) -> None:
    """Django makes them after the last migration only."""
    for label in dict.fromkeys((*APPS, get_user_model()._meta.app_label)):
        config = apps.get_app_config(label)
        module = getattr(config, "models_module", None)  # an app of a migration has none, and is passed over without
        config.models_module = module or True
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = module


def _named(permissions: Any, names: Iterable[str]) -> list[Any]:
    """Raises DoesNotExist for a name that is none."""
    parts = [name.split(".") for name in names]
    return [permissions.get(content_type__app_label=app, codename=codename) for app, codename in parts]
