"""Django's registration of the app."""

from django.apps import AppConfig


class RatelimitConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "ratelimit"

    def ready(self) -> None:
        from ratelimit import checks  # noqa: F401  # registers them
