"""What libraries are told, whatever the deployment: REST framework, the OpenAPI page, the admin's look, log-in."""

from __future__ import annotations

from typing import Any

STATIC_URL = "/static/"

PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["billing_site.request.authentication.GatewayAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],  # the gateway has let the caller in, or the view is public
    "DEFAULT_PARSER_CLASSES": ["billing.http.json.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "billing.http.json.ApiJSONRenderer",
        "billing_site.openapi.browsable.PageRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "billing.http.negotiation.Negotiation",
    "DEFAULT_SCHEMA_CLASS": "billing_site.openapi.document.OperationSchema",
    "EXCEPTION_HANDLER": "billing.http.exception_handler.exception_handler",
    "COERCE_DECIMAL_TO_STRING": False,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%SZ",  # times are in UTC throughout
}
SPECTACULAR: dict[str, Any] = {
    "TITLE": "Metered API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["billing_site.openapi.document.as_served"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "billing_site.openapi.document.with_parts",
        "billing_site.openapi.problem_types.with_problem_types",
        "billing_site.openapi.samples.with_samples",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "KeyStatus": ["valid", "expired", "revoked"],
        "KeyScope": ["", "meter", "manage"],
        "GivenKeyScope": ["", "manage"],
        "StateEnum": "usage.models.Reservation.State",
        "DeliveryState": ["pending", "delivered", "dead"],
        "DeliveryError": "billing.api.webhooks.serializers.ERRORS",
        "WebhookType": "billing.webhooks.types.SUBSCRIBABLE",
    },
    "WEBHOOKS": "billing_site.openapi.webhooks.WEBHOOKS",
    "SERVE_INCLUDE_SCHEMA": False,
    # As JavaScript, since a plugin of docs.js is in it.
    "SWAGGER_UI_SETTINGS": """{
        "deepLinking": false,  // its links stand inside of buttons, where nobody reaches them by keyboard
        "displayRequestDuration": true,
        "defaultModelsExpandDepth": 0,
        "validatorUrl": null,  // nothing is sent to a validator elsewhere
        "plugins": [CodeSamples]
    }""",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Billing",
    "SITE_HEADER": "Billing",
    "SITE_SYMBOL": "toll",
    "SITE_URL": None,
    "STYLES": [f"{STATIC_URL}billing_site/admin.css"],
    "SCRIPTS": [f"{STATIC_URL}billing_site/admin.js"],
    "SITE_FAVICONS": [{"rel": "icon", "href": "data:,"}],  # or every browser asks for /favicon.ico
    # Links on dark grounds: Unfold's own 500 has a contrast of 4.3 there, and text needs 4.5 (WCAG AA).
    "COLORS": {"primary": {"500": "oklch(71.4% .203 305.504)"}},
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "billing_site.staff_home.page.home",
    "SIDEBAR": {"show_search": False, "navigation": "billing_site.admin.navigation.navigation"},
}

CORS: dict[str, Any] = {
    # Never the admin, the dashboard, or the log-in; nor the door of proxies, of which some take the 200 of a preflight
    # for leave to serve what they ask about.
    "CORS_URLS_REGEX": r"^/api/(v1(?!/usage/authorize)|schema)(/|$)",
    "CORS_ALLOW_CREDENTIALS": False,  # a key is what a page of another origin has; never the session
    "CORS_ALLOW_METHODS": ("GET", "POST", "PUT", "PATCH", "DELETE"),
    "CORS_ALLOW_HEADERS": (
        *("authorization", "content-type", "accept", "idempotency-key", "usage-run", "x-request-id"),
        *("if-none-match", "mcp-protocol-version"),
    ),
    "CORS_EXPOSE_HEADERS": (
        *("X-Request-ID", "RateLimit-Policy", "RateLimit"),
        *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
        *("X-Usage-Cost", "X-Usage-Event", "Idempotency-Replayed"),
        *("Retry-After", "X-Should-Retry", "WWW-Authenticate"),
    ),
    "CORS_PREFLIGHT_MAX_AGE": 7200,  # seconds; browsers keep it no longer
}
"""django-cors-headers', where CORS_ALLOWED_ORIGINS names any origin."""

CELERY: dict[str, Any] = {
    "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": True,
    "CELERY_BROKER_TRANSPORT_OPTIONS": {
        "visibility_timeout": 3600,
        "socket_connect_timeout": 3,
        "socket_timeout": 10,
        # Who sends a task learns at once that the broker is away, and PostgreSQL knows what is to be done: with kombu's
        # tries each webhook of a provider would hold a thread for six seconds. Worker and beat connect on their own.
        "max_retries": 0,
    },
    "CELERY_TASK_IGNORE_RESULT": True,
    "CELERY_TASK_ACKS_LATE": True,
    "CELERY_TASK_REJECT_ON_WORKER_LOST": True,
    "CELERY_WORKER_PREFETCH_MULTIPLIER": 1,
    "CELERY_TASK_TIME_LIMIT": 600,
    "CELERY_ENABLE_UTC": True,
    "CELERY_BEAT_SCHEDULER": "billing_site.beat.scheduler.Scheduler",
    "CELERY_WORKER_HIJACK_ROOT_LOGGER": False,
}

LOG_IN: dict[str, Any] = {
    "ACCOUNT_ADAPTER": "billing_site.accounts.adapter.Adapter",
    "ACCOUNT_LOGIN_METHODS": {"username", "email"},
    "ACCOUNT_SIGNUP_FIELDS": ["email*", "password1*"],
    "ACCOUNT_RATE_LIMITS": {"login": None, "login_failed": "5/5m/key"},  # the latter counts codes, no passwords
    "ACCOUNT_LOGOUT_REDIRECT_URL": "home",
    "ACCOUNT_CONFIRM_EMAIL_ON_GET": False,  # mail scanners follow links
    "ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION": False,
    "ACCOUNT_EMAIL_NOTIFICATIONS": True,  # of a changed password, a new address, a second factor
    "ACCOUNT_EMAIL_SUBJECT_PREFIX": "",
    "ACCOUNT_SESSION_REMEMBER": True,
    "MFA_SUPPORTED_TYPES": ["totp", "recovery_codes"],
    "MFA_TOTP_ISSUER": "Metered API",
}
"""django-allauth's. Wrong passwords are counted by `request.log_in`; wrong codes of second factors, sign-ups,
confirmations and resets by allauth."""
