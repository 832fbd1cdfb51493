"""The web server's own. gunicorn's configuration reads them without Django."""

from billing_site.environment import Group

web = Group("Web server")
WEB_CONCURRENCY = web.number(
    "WEB_CONCURRENCY", 2, "Processes of the web server, with 8 threads each; gunicorn's `--workers`.", most=10_000
)
WEB_PROCESSES = web.number(
    "WEB_PROCESSES",
    WEB_CONCURRENCY,
    "Web processes on all machines together: they share an account's minute while Redis is down.",
    most=10_000,
    unset="as many as WEB_CONCURRENCY",
)
WEB_SLOW_CLIENT_SECONDS = web.number(
    "WEB_SLOW_CLIENT_SECONDS",
    30,
    "A client has so long to send or to take the next 64 KiB, or all that is left.",
    most=3_600,
)
WEB_LARGEST_BODY_BYTES = web.number(
    "WEB_LARGEST_BODY_BYTES",
    10_000_000,
    "A larger body is refused with 413. What Django takes into memory has a limit of its own (1,000,000).",
)
LONGEST_REQUEST_SECONDS = web.number(
    "LONGEST_REQUEST_SECONDS",
    60,
    "No request takes longer: after it an Idempotency-Key is in flight no more, and the key itself is kept for a day.",
    most=86_400,
)
web.elsewhere(
    "GUNICORN_CMD_ARGS", "", "gunicorn's options", "More options of gunicorn; its command line goes before them."
)
PROMETHEUS_MULTIPROC_DIR = web.folder(
    "PROMETHEUS_MULTIPROC_DIR",
    "Where web processes add up their metrics. Empty it before gunicorn starts.",
    unset="a folder that gunicorn makes, and removes when it ends",
)
