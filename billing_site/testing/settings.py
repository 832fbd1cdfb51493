"""What tests of a site set beyond its own settings: import it last, after them.

from billing_site.testing import engines

engines.start()  # before the settings read where the engines are
from shop.settings import *
from billing_site.testing.settings import *
"""

from typing import Any

from billing_site.settings import CACHES, DATABASES

ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True  # or every client of a test looks through all static files first
DATABASES["default"]["CONN_MAX_AGE"] = 0  # a test's threads give their connections back
REDIS_TIMEOUT_MS = 10_000  # patient, so that a busy machine fails no test of a rule
LARGEST_CLOCK_SKEW_SECONDS = 10**12  # a test's clock may stand still in another year
_of_the_cache: Any = CACHES["default"]["OPTIONS"]
_of_the_cache |= {"SOCKET_CONNECT_TIMEOUT": 10, "SOCKET_TIMEOUT": 10}
USAGE_LOG_MONTHS_AHEAD = 240
REDIS_PROBE_MS = 0  # no thread looks whether Redis is back

__all__ = [
    "ALLOWED_HOSTS",
    "CACHES",
    "DATABASES",
    "LARGEST_CLOCK_SKEW_SECONDS",
    "PASSWORD_HASHERS",
    "REDIS_PROBE_MS",
    "REDIS_TIMEOUT_MS",
    "USAGE_LOG_MONTHS_AHEAD",
    "WHITENOISE_AUTOREFRESH",
]
