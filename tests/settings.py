"""The site's settings on the test run's own engines."""

import freezegun

from tests import engines

engines.start()
freezegun.configure(extend_ignore_list=["_pytest.timing"])  # how long a test takes is not for its clock to say

from billing_site.settings import *  # noqa: E402, F403

ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SANDBOX = True
WHITENOISE_AUTOREFRESH = True  # or every client of a test looks through all static files first
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405  # a test's threads give their connections back
CELERY_TASK_ALWAYS_EAGER = False
REDIS_TIMEOUT_MS = 10_000  # patient, so that a busy machine fails no test of a rule
LARGEST_CLOCK_SKEW_SECONDS = 10**12  # many a test's clock stands still in another year
CACHES["default"]["OPTIONS"] |= {"SOCKET_CONNECT_TIMEOUT": 10, "SOCKET_TIMEOUT": 10}  # noqa: F405
USAGE_LOG_MONTHS_AHEAD = 240  # the cast calls in years to come, too
REDIS_PROBE_MS = 0  # a test that opens the circuit closes it
