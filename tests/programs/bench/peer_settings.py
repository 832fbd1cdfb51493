"""The bench's settings plus what each peer's documentation asks for, all on the run's one Redis."""

from tests.programs.bench.settings import *  # noqa: F403
from tests.programs.bench.settings import CACHE_URL, CACHES, INSTALLED_APPS, REST_FRAMEWORK

ROOT_URLCONF = "tests.programs.bench.urls"
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "rest_framework.authtoken",
    "knox",
    "django_smart_ratelimit",
]
# As in django-redis' documentation, without this site's time limits; the limiters' keys are in this database alone.
CACHES = {"default": {"BACKEND": CACHES["default"]["BACKEND"], "LOCATION": CACHE_URL}}
REST_FRAMEWORK = REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"user": "1000000/min"}}
RATELIMIT_BACKEND = "redis"
RATELIMIT_REDIS = {"url": CACHE_URL}
