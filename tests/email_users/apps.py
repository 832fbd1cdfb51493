from django.apps import AppConfig


class Config(AppConfig):
    name = "tests.email_users"
    label = "people"
    default_auto_field = "django.db.models.BigAutoField"
