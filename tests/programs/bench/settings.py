"""The site's settings as deployed; `tests.programs.bench.stage` has set the engines' URLs."""

from billing_site.settings import *  # noqa: F403

ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
SANDBOX = True
REDIS_TIMEOUT_MS = 10_000  # patient: a machine that does other things must not end a run
