"""The site's settings, and what a model of one's own needs beside them: docs/your-own-views.md."""

from billing_site.settings import *  # noqa: F403

AUTH_USER_MODEL = "people.Person"
INSTALLED_APPS = ["tests.email_users.apps.Config", *INSTALLED_APPS]  # noqa: F405
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
