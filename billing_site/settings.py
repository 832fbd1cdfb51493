"""Every setting: Django's here, those that a deployment decides in `billing_site.variables`, one module a subject."""

from typing import Any

import environ
from redis.backoff import NoBackoff
from redis.retry import Retry

from billing_site import library_settings
from billing_site.operations.logs.configuration import lines_from
from billing_site.variables.calls import *
from billing_site.variables.engines import *
from billing_site.variables.local import *
from billing_site.variables.log import *
from billing_site.variables.money import *
from billing_site.variables.site import *
from billing_site.variables.web import *

ROOT_URLCONF = "billing_site.urls"
WSGI_APPLICATION = "billing_site.wsgi.application"
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]  # of customers' pages and mails; the API and the admin are English
LOCALE_PATHS = [BASE_DIR / "billing_site" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["billing_site.formats"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False  # either way the URLs name the same view; a redirect would lose a POST's body

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.simple_history",
    "billing_site.admin.site.Config",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_api_key",  # for its abstract model, which cannot be imported otherwise; its own table stays empty
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "simple_history",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "ratelimit",
    "billing",
    "usage",
    "billing_site",
]

MIDDLEWARE = [
    "billing_site.request.request_id.RequestId",
    # Outermost after it: it sees the final status, and identifies the caller before CSRF is asked of a browser only.
    "billing_site.gateway.Gateway",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "billing_site.request.language.PageLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "billing_site.request.request_user.CallersUser",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "billing_site.request.content_security.content_security_policy",
    "simple_history.middleware.HistoryRequestMiddleware",
    "billing_site.request.refused_reservations.RefusedReservations",
]
if CORS_ALLOWED_ORIGINS:  # or nobody pays for it
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(1, "corsheaders.middleware.CorsMiddleware")  # before the gateway: a preflight has no key
    globals().update(library_settings.CORS)

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "billing_site.dashboard.navigation.navigation",
                "billing_site.dashboard.forms.form_token",
            ],
        },
    },
]

AUTHENTICATION_BACKENDS = ["billing_site.request.log_in.ThrottledBackend"]
AUTH_PASSWORD_VALIDATORS = library_settings.PASSWORD_VALIDATORS

# --- Database. A connection for each thread of the web server: their number is fixed, so a pool would only add a second
# place to wait in. Nothing may hang on a lost server (billing.postgres.guard).
DATABASES: dict[str, dict[str, Any]] = {"default": environ.Env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":  # anything else is refused by a check
    DATABASES["default"]["ENGINE"] = "billing.postgres"
DATABASES["default"] |= {
    "CONN_MAX_AGE": CONN_MAX_AGE,
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        "connect_timeout": 3,
        "tcp_user_timeout": 5000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "options": f"-c statement_timeout={DATABASE_STATEMENT_TIMEOUT_MS}",
    }
    | DATABASES["default"].get("OPTIONS", {}),
}

# --- Cache and sessions: sessions are in the database, so that a lost Redis logs nobody out.
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {
            "REDIS_CLIENT_CLASS": "billing_site.cache.CacheRedis",
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_MS / 1000,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_MS / 1000,
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0)},
            "IGNORE_EXCEPTIONS": True,
        },
    },
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"  # after a login that no page asked for

# --- Security
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/?$", r"^metrics/?$", r"^api/v1/usage/(authorize|events)(/|$)"]  # other machines
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "billing_site.pages.errors.csrf_failure"
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # bytes of one request's body

# --- Static files
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

# --- Log-in pages, HTTP API, admin: what no deployment decides is in `library_settings`
REST_FRAMEWORK = library_settings.REST_FRAMEWORK
SPECTACULAR_SETTINGS = library_settings.SPECTACULAR
UNFOLD = library_settings.UNFOLD
globals().update(library_settings.LOG_IN)
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if EMAIL_CONFIRMED_FIRST else "optional"
# --- Mails. Without a provider they go into the mailbox.
globals().update(EMAIL)
EMAIL_TIMEOUT = 10  # seconds, of each step with the provider; all of them have to fit into OUTBOX_LEASE_SECONDS
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- Celery. Usage never travels through the broker: it only wakes what reads the database.
CELERY_BROKER_URL = BROKER_URL
CELERY_BEAT_SCHEDULE_FILENAME = str(PLACES.local / "beat-schedule")
CELERY_TIMEZONE = "UTC"
globals().update(library_settings.CELERY)

# --- Ours, that no deployment decides
RATELIMIT_CLOCK = "server"  # the Redis server's clock judges the minute; "process": this process', in frozen tests
RATELIMIT_SHARDS = 64  # changing it means `manage.py init_redis_keys`
SNAPSHOT_CACHE_SIZE = 100_000  # accounts a process remembers
UNKNOWN_KEYS_PER_MINUTE = 600  # look-ups of unknown keys an address may cause
# Who gets the outbox's messages: the name under which progress is kept -> the path of a callable, see billing.outbox.
OUTBOX_CONSUMERS = {
    "log": "billing.outbox.consumers.write_to_log",
    "mails": "billing.mails.consumer.send_mail_of",
    "thresholds": "usage.thresholds.consumer.look_again",
    "webhooks": "billing.webhooks.consumer.make_webhooks",
}
# Who may come in is these paths' own business: no route covers one. A host product adds what must stay open of its own.
OWN_PATHS = (
    *("/admin", "/accounts", "/dashboard", "/health", "/metrics", "/payments", STATIC_URL.rstrip("/")),
    *("/api/auth", "/api/docs", "/api/schema"),
    *(f"/api/v1/{name}" for name in ("plans", "features", "models", "billing", "usage", "keys", "webhooks", "mcp")),
)
BILLING_ACTIVE_FEATURES = "usage.reports.activity.check_active_features"
BILLING_USED_UNTIL = "usage.reports.used_until.used_until"
BILLING_USED_TOKENS = "usage.reports.windows.used_tokens"
BILLING_CATCH_UP = "usage.reports.windows.catch_up"
# Modules that erase what they hold of an account, and say why it cannot be deleted: as usage.erasure does.
ACCOUNT_ERASERS = ["usage.erasure", "billing_site.accounts.erasure"]
# Which accounts, each with an instant, had a payment method then: the path of a function that takes a mapping and gives
# the accounts that had one. Who adds or removes one raises the account's fence. Empty: nobody has one.
if STRIPE_SECRET_KEY:
    OUTBOX_CONSUMERS["cards"] = "billing.payments.cards.charging.consumer.charge"
BILLING_HAS_PAYMENT_METHOD = "billing.payments.cards.methods.accounts_with_a_card" if STRIPE_SECRET_KEY else ""

# --- Logging: one line an event, to stderr
LOGGING = lines_from(LOG_LEVEL, LOG_FORMAT)
