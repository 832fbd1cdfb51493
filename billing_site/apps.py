"""Django's registration of the app."""

from django.apps import AppConfig


class BillingSiteConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "billing_site"

    def ready(self) -> None:
        from billing_site.accounts import places  # noqa: F401  # listens to log-ins
        from billing_site.metered import checks as metered_checks  # noqa: F401
        from billing_site.operations.checks import (  # noqa: F401  # registers them
            cards,
            chains,
            deployment,
            middleware,
            paths,
            postgres,
            settings,
            users,
            variables,
            webhooks,
        )
