"""Every setting, and every environment variable that sets one (the web server's: run, gunicorn_config, serving)."""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from billing_site import environment as env
from billing_site import library_settings
from billing_site.local.engines.places import BROKER_DATABASE, CACHE_DATABASE, Places, as_broker, with_database
from billing_site.operations.log_lines import lines_from
from billing_site.serving import refusals

BASE_DIR = Path(__file__).resolve().parent.parent
PLACES = Places(BASE_DIR)

# --- Engines: an unset URL means the private engine that `make run` starts.
DATABASE_URL = env.postgres_url("DATABASE_URL")
EMBEDDED_POSTGRES = not DATABASE_URL
DATABASE_URL = DATABASE_URL or PLACES.database_url
# What enforces quotas and rates; CACHE_URL (Django's cache) and BROKER_URL (Celery) default to other databases of the
# same server. A cluster has one database only and Celery knows no cluster, so there both have to be given.
REDIS_URL = env.redis_url("REDIS_URL")
EMBEDDED_REDIS = not REDIS_URL
REDIS_URL = REDIS_URL or PLACES.redis_url
REDIS_CLUSTER = env.flag("REDIS_CLUSTER", False)
REDIS_TIMEOUT_MS = env.number("REDIS_TIMEOUT_MS", 100, most=60_000)  # a decision waits no longer for Redis
# Replicas that confirm a charge before it is answered (WAIT), so that a failover loses none; 0 = the primary alone.
# When they take longer than REDIS_WAIT_MS, which is below REDIS_TIMEOUT_MS, the charge stands all the same.
REDIS_WAIT_REPLICAS = env.number("REDIS_WAIT_REPLICAS", 0, least=0)
REDIS_WAIT_MS = env.number("REDIS_WAIT_MS", 50)
CACHE_URL = env.redis_url("CACHE_URL")
BROKER_URL = env.broker_url("BROKER_URL")
if REDIS_CLUSTER and not (CACHE_URL and BROKER_URL):
    raise ImproperlyConfigured("REDIS_CLUSTER=1 needs CACHE_URL and BROKER_URL: Redis servers that are no cluster")
CACHE_URL = CACHE_URL or with_database(REDIS_URL, CACHE_DATABASE)
BROKER_URL = BROKER_URL or as_broker(REDIS_URL, BROKER_DATABASE)

# --- Django
SECRET_KEY = env.secret_key(PLACES.local if EMBEDDED_POSTGRES else None)
SECRET_KEY_FALLBACKS: list[str] = env.words("SECRET_KEY_FALLBACKS", [], env.TOKEN)  # former ones, which keys outlive
DEBUG = env.flag("DEBUG", False)
ALLOWED_HOSTS: list[str] = env.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"], env.HOST)
CSRF_TRUSTED_ORIGINS: list[str] = env.words("CSRF_TRUSTED_ORIGINS", [], env.ORIGIN)
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
    "billing_site.admin_site.Config",  # django.contrib.admin
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

# --- Database. A connection for each thread of the web server, checked once a request that needs it: the number of
# threads is fixed, so a pool would only add a second place to wait in. Nothing may hang on a lost server.
DATABASE_STATEMENT_TIMEOUT_MS = env.number("DATABASE_STATEMENT_TIMEOUT_MS", 0, least=0, most=2**31 - 1)
DATABASES: dict[str, dict[str, Any]] = {"default": environ.Env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":  # anything else is refused by a check
    DATABASES["default"]["ENGINE"] = "billing.postgres"
# After about so long without any answer PostgreSQL hangs, and who waits for it is told (billing.postgres.guard); 0 is
# never, for commands. At most so many threads of a process wait for it at once; 0 is any number.
DATABASE_HANGS_AFTER_MS = env.number("DATABASE_HANGS_AFTER_MS", 0, least=0)
DATABASE_PLACES = env.number("DATABASE_PLACES", 0, least=0)
DATABASES["default"] |= {
    "CONN_MAX_AGE": env.number("CONN_MAX_AGE", 60, least=0),
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
HTTPS = env.flag("HTTPS", False)  # the site is served over HTTPS only
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/?$", r"^metrics/?$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "billing_site.error_pages.csrf_failure"
BEHIND_PROXY = env.flag("BEHIND_PROXY", False)
if BEHIND_PROXY:  # it sets X-Forwarded-Proto, whatever clients send
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # bytes of one request's body

# --- Static files
STATIC_URL = "/static/"
STATIC_ROOT = env.folder("STATIC_ROOT")  # after `collectstatic`, compressed; unset: served from where they lie
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
SIGN_UP = env.flag("SIGN_UP", True)  # whoever comes may make an account, on the default plan
# An address is confirmed before the first log-in, or in its own time.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if env.flag("EMAIL_CONFIRMED_FIRST", False) else "optional"
# --- Mails. Without a provider they go into the mailbox, which staff read in the admin.
globals().update(env.email("EMAIL_URL", unset="billing.mails.mailbox.Mailbox"))
EMAIL_TIMEOUT = 10  # seconds, of each step with the provider; all of them have to fit into OUTBOX_LEASE_SECONDS
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("DEFAULT_FROM_EMAIL", env.SENDER) or "Metered API <no-reply@localhost>"
STAFF_EMAIL = env.text("STAFF_EMAIL", env.SENDER)  # gets what staff have to act on in time, such as disputes
SITE_URL = env.text("SITE_URL", env.SITE) or "http://localhost:8000"  # of links in mails

# --- Celery. Usage never travels through the broker: it only wakes what reads the database.
CELERY_BROKER_URL = BROKER_URL
CELERY_BEAT_SCHEDULE_FILENAME = str(PLACES.local / "beat-schedule")
CELERY_TIMEZONE = "UTC"
globals().update(library_settings.CELERY)

# --- Ours
SANDBOX = env.flag("SANDBOX", False)  # mounts small metered endpoints to try things with
# Who answers the sandbox's agent, in OpenAI's protocol; unset: a small model of our own.
AGENT_UPSTREAM_URL = env.text("AGENT_UPSTREAM_URL", env.UPSTREAM)
AGENT_UPSTREAM_KEY = env.text("AGENT_UPSTREAM_KEY", env.TOKEN)
AGENT_UPSTREAM_SECONDS = env.number("AGENT_UPSTREAM_SECONDS", 60, most=120)  # so long it may be silent
RATELIMIT_CLOCK = "server"  # the Redis server's clock judges the minute; "process": this process', in frozen tests
# Who decides without Redis: PostgreSQL; or all calls are refused; or all entitled ones are admitted.
WHEN_REDIS_IS_DOWN = env.word("WHEN_REDIS_IS_DOWN", "fallback", ("fallback", "refuse", "admit"))
# They share a minute while it is down.
WEB_PROCESSES = env.number("WEB_PROCESSES", env.number("WEB_CONCURRENCY", 2, most=10_000), most=10_000)
# Of the web server's own (serving/refusals.py); read here too, so that every command refuses a wrong one.
WEB_SLOW_CLIENT_SECONDS, WEB_LARGEST_BODY_BYTES = refusals.SLOW_CLIENT_SECONDS, refusals.LARGEST_BODY
# After it an Idempotency-Key is in flight no more, and the key itself is kept for a day.
LONGEST_REQUEST_SECONDS = env.number("LONGEST_REQUEST_SECONDS", 60, most=86_400)
RETRY_AFTER_MOST = env.number("RETRY_AFTER_MOST", 3600)  # seconds; a longer wait is told in a 429's body alone
REDIS_PROBE_MS = env.number("REDIS_PROBE_MS", 250)  # between two looks whether it is back
RATELIMIT_SHARDS = 64  # changing it means `manage.py init_redis_keys`
SNAPSHOT_CACHE_SIZE = 100_000  # accounts a process remembers
PRORATION_GRANULARITY: Any = env.word("PRORATION_GRANULARITY", "day", ("day", "second"))
PRICES_INCLUDE_TAX = env.flag("PRICES_INCLUDE_TAX", False)  # or tax comes on top of them, as a line of its own
ISSUE_ZERO_INVOICES = env.flag("ISSUE_ZERO_INVOICES", False)  # also those on which every line is 0
# A larger invoice parks the account for staff. In US dollars, and about as much in other currencies; LARGEST_INVOICES
# has those of currencies by their own, in major units, such as "HUF=5000000,IDR=200000000".
LARGEST_INVOICE = env.number("LARGEST_INVOICE", 10_000)
LARGEST_INVOICES = env.numbers("LARGEST_INVOICES", env.CURRENCY)
# Between this machine and PostgreSQL; beyond it nothing is billed.
LARGEST_CLOCK_SKEW_SECONDS = env.number("LARGEST_CLOCK_SKEW_SECONDS", 5, most=3600)
# A charge that failed is tried again on these days after it; then its invoice is past due, and after so many days of
# grace the default plan is served until it is paid.
DUNNING_DAYS = [int(day) for day in env.words("DUNNING_DAYS", ["1", "3", "5", "7"], env.DAY)]
PAST_DUE_GRACE_DAYS = env.number("PAST_DUE_GRACE_DAYS", 7, least=0, most=3650)
MOST_INVOICES_A_DAY = env.number("MOST_INVOICES_A_DAY", 50)  # of one account; more of them park it
USAGE_LOG_MONTHS = env.number("USAGE_LOG_MONTHS", 13, most=1200)  # whole months kept before the present one
USAGE_LOG_MONTHS_AHEAD = env.number("USAGE_LOG_MONTHS_AHEAD", 3, most=240)  # an event beyond them is set aside
USAGE_LOG_EXPORTS = env.folder("USAGE_LOG_EXPORTS") or PLACES.local / "usage-log"  # of months that left
USAGE_LOG_DROP = env.flag("USAGE_LOG_DROP", False)  # nightly, tables of months that left, once exported
# Who gets the outbox's messages: the name under which progress is kept -> the path of a callable, see billing.outbox.
OUTBOX_CONSUMERS = {
    "log": "billing.outbox.consumers.write_to_log",
    "mails": "billing.mails.consumer.send_mail_of",
    "thresholds": "usage.thresholds.consumer.look_again",
}
OUTBOX_LEASE_SECONDS = env.number("OUTBOX_LEASE_SECONDS", 60, most=86_400)  # for one call of a consumer
OUTBOX_KEPT_DAYS = env.number("OUTBOX_KEPT_DAYS", 30, most=36_500)  # messages that every consumer has got
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
# --- Cards. Without a key they are off: invoices are paid by hand, and nothing of it is shown.
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY", env.TOKEN)
STRIPE_WEBHOOK_SECRET = env.text("STRIPE_WEBHOOK_SECRET", env.TOKEN)
STRIPE_API_BASE = env.text("STRIPE_API_BASE", env.SITE)  # a test server's, in place of Stripe
# Which accounts, each with an instant, had a payment method then: the path of a function that takes a mapping and gives
# the accounts that had one. Who adds or removes one raises the account's fence. Empty: nobody has one.
if STRIPE_SECRET_KEY:
    OUTBOX_CONSUMERS["cards"] = "billing.payments.cards.charging.consumer.charge"
BILLING_HAS_PAYMENT_METHOD = "billing.payments.cards.methods.accounts_with_a_card" if STRIPE_SECRET_KEY else ""
# Stablecoins, by chain id: the extended public key that deposit addresses are made of, and where a node answers the
# watcher (manage.py watch_chain). Never a private key; see docs/payments-chains.md.
CHAIN_XPUBS = env.by_chain("CHAIN_XPUBS", env.XPUB)
CHAIN_RPC_URLS = env.by_chain("CHAIN_RPC_URLS", env.RPC_URL)
# New keys begin with it, so that people and scanners of secrets know them; keys that were made before stay valid.
API_KEY_PREFIX = env.text("API_KEY_PREFIX", env.KEY_PREFIX) or "mk_live_"
MOST_API_KEYS = env.number("MOST_API_KEYS", 50, most=10_000)  # live ones that an account may have by its own doing
UNKNOWN_KEYS_PER_MINUTE = 600  # look-ups of unknown keys an address may cause
CLIENT_ADDRESS_HEADER = env.text("CLIENT_ADDRESS_HEADER", env.HEADER)  # such as X-Real-IP, where a proxy always sets it
METRICS_TOKEN = env.text("METRICS_TOKEN", env.TOKEN)  # when set, /metrics wants it as a bearer token

# --- Logging: one line an event, to stderr
LOG_LEVEL = env.word("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOGGING = lines_from(LOG_LEVEL)
