"""The site's settings as deployed, plus what the peers ask for; `tests.bench.stage` has set the engines' URLs."""

from billing_site.settings import *  # noqa: F403
from billing_site.settings import CACHES, INSTALLED_APPS

ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
SANDBOX = True
REDIS_TIMEOUT_MS = 10_000  # patient: a machine that does other things must not end a run
LOG_LEVEL = "WARNING"

INSTALLED_APPS = [*INSTALLED_APPS, "rest_framework.authtoken", "knox"]
# Each peer is told to use the same server through django-redis, the cache they all support.
CACHES = {"default": {**CACHES["default"], "OPTIONS": {}}}
