"""The log and the metrics. gunicorn's log reads them without Django."""

from billing_site.environment import Group
from billing_site.environment import patterns as like
from billing_site.operations.logs.configuration import FORMATS

operations = Group("Log and metrics")
LOG_LEVEL = operations.word(
    "LOG_LEVEL",
    "INFO",
    ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "The least that is written to the log (stderr).",
)
LOG_FORMAT = operations.word(
    "LOG_FORMAT",
    "line",
    FORMATS,
    "Lines for people, or JSON for what collects logs ([observe.md](observe.md)).",
)
METRICS_TOKEN = operations.text(
    "METRICS_TOKEN", like.TOKEN, "`/metrics` wants it as a bearer token.", unset="whoever reaches the site reads them"
)
