"""Who sees payments sees those in stablecoins, too; who changes invoices sends pay-outs."""

from typing import Any

from django.db import migrations

from usage import roles

MODELS = (
    *("chain", "token", "depositkey", "depositaddress", "paymentrequest"),
    *("chaintransfer", "transfercredit", "cryptorefund"),
)


def grant(apps: Any, schema_editor: Any) -> None:
    for role in roles.SEES_ALL:
        roles.grant(apps, role, [f"billing.view_{model}" for model in MODELS])
    roles.grant(apps, roles.BILLING, ["billing.change_cryptorefund"])


class Migration(migrations.Migration):
    dependencies = [("usage", "0015_roles_of_cards"), ("billing", "0034_payments_on_chains")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop, elidable=False)]
