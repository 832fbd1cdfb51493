"""How gunicorn serves the site; GUNICORN_CMD_ARGS and its command line override this."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from billing_site.operations import metrics_folder
from billing_site.variables.web import PROMETHEUS_MULTIPROC_DIR, WEB_CONCURRENCY

OURS = ("ratelimit", "billing", "usage", "billing_site")
wsgi_app = "billing_site.wsgi:application"
workers = WEB_CONCURRENCY
logger_class = "billing_site.operations.logs.web.Logger"
worker_class = "billing_site.serving.worker.BufferingWorker"
threads = 8
# Of each worker. At the limit the oldest client that is waited for makes room. A connection may take two more
# descriptors, for what does not fit into memory, and many systems give a process 1024.
worker_connections = 400
timeout = 60
graceful_timeout = 25
keepalive = 15
max_requests = 100_000
max_requests_jitter = 10_000
# Gunicorn by itself believes a client on 127.0.0.1 that names its path in a header, which would lead around the
# metering of that path. Behind a proxy, X-Forwarded-Proto is Django's business (BEHIND_PROXY).
forwarded_allow_ips = ""
forwarder_headers = ""
control_socket_disable = True  # its default path is the same for every checkout of a user
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
capture_output = False

# A request that waits longer for one statement is of no use to anybody; commands have no such limit.
os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT_MS", "15000")
# While PostgreSQL hangs two threads of each worker are left to those calls that do not need it.
os.environ.setdefault("DATABASE_HANGS_AFTER_MS", "1000")
os.environ.setdefault("DATABASE_PLACES", str(threads - 2))


# The processes add up their metrics in a folder: one that is given, or our own, which ends with us.
own_metrics = None
if PROMETHEUS_MULTIPROC_DIR:
    PROMETHEUS_MULTIPROC_DIR.mkdir(parents=True, exist_ok=True)
else:
    own_metrics = os.environ[metrics_folder.VARIABLE] = metrics_folder.own_folder(worker_tmp_dir)
ended_workers: set[int] = set()


def post_fork(server: Any, worker: Any) -> None:
    """Let a worker import all of our code anew: some of it is in this process since before an update, and is forked.

    A worker of both would not start, or run half of each. The worker's own class is the one thing that stays.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """Let keys show when they were used last."""
    from billing.entitlements import last_used

    last_used.start()


def worker_exit(server: Any, worker: Any) -> None:
    """Write the last uses that this worker has noted."""
    from billing.entitlements import last_used

    last_used.flush()


def child_exit(server: Any, worker: Any) -> None:
    """Keep what a worker has counted, and not its files."""
    ended_workers.add(worker.pid)
    metrics_folder.add_ended(os.environ[metrics_folder.VARIABLE], ended_workers)


def on_exit(server: Any) -> None:
    """Remove our folder of metrics, unless a new gunicorn (SIGUSR2) has taken it over."""
    if own_metrics and not server.reexec_pid:
        shutil.rmtree(own_metrics, ignore_errors=True)
