"""Where PostgreSQL, Redis, the cache and the broker are, and how long anybody waits for them."""

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from billing_site.environment import Group
from billing_site.local.engines.places import BROKER_DATABASE, CACHE_DATABASE, Places, as_broker, with_database

BASE_DIR = Path(__file__).resolve().parents[2]
PLACES = Places(BASE_DIR)

postgres = Group("PostgreSQL")
DATABASE_URL = postgres.postgres_url(
    "DATABASE_URL", "The database.", unset="the private PostgreSQL that `make run` starts"
)
EMBEDDED_POSTGRES = not DATABASE_URL
DATABASE_URL = DATABASE_URL or PLACES.database_url
DATABASE_STATEMENT_TIMEOUT_MS = postgres.number(
    "DATABASE_STATEMENT_TIMEOUT_MS",
    0,
    "Milliseconds that one SQL statement may take; 0 is any time, for commands.",
    least=0,
    most=2**31 - 1,
    unset="0, and 15000 in the web server",
)
DATABASE_HANGS_AFTER_MS = postgres.number(
    "DATABASE_HANGS_AFTER_MS",
    0,
    "After about so many milliseconds without any answer PostgreSQL hangs, and who waits for it is told; 0 is never.",
    least=0,
    unset="0, and 1000 in the web server",
)
DATABASE_PLACES = postgres.number(
    "DATABASE_PLACES",
    0,
    "At most so many threads of a process wait for PostgreSQL at once, so that others are left to calls that do not"
    " need it; 0 is any number.",
    least=0,
    unset="0, and 6 of 8 threads in the web server",
)
CONN_MAX_AGE = postgres.number(
    "CONN_MAX_AGE",
    60,
    "Seconds that a thread keeps its connection to PostgreSQL. Each thread has one; it is checked once a request.",
    least=0,
)

redis = Group("Redis, cache, broker")
REDIS_URL = redis.redis_url(
    "REDIS_URL",
    "What enforces quotas and rates, with `maxmemory-policy noeviction` and `appendonly yes`.",
    unset="the private Valkey that `make run` starts",
)
EMBEDDED_REDIS = not REDIS_URL
REDIS_URL = REDIS_URL or PLACES.redis_url
REDIS_CLUSTER = redis.flag(
    "REDIS_CLUSTER",
    False,
    "REDIS_URL names a node of a cluster. It has one database only and Celery knows no cluster, so CACHE_URL and"
    " BROKER_URL have to be given then.",
)
REDIS_TIMEOUT_MS = redis.number(
    "REDIS_TIMEOUT_MS", 100, "Milliseconds that a decision waits for Redis at most.", most=60_000
)
REDIS_WAIT_REPLICAS = redis.number(
    "REDIS_WAIT_REPLICAS",
    0,
    "Replicas that confirm a charge before it is answered (`WAIT`), so that a failover loses none; 0 is the primary"
    " alone.",
    least=0,
)
REDIS_WAIT_MS = redis.number(
    "REDIS_WAIT_MS",
    50,
    "When the replicas take longer, the charge stands all the same. It lies below REDIS_TIMEOUT_MS.",
)
REDIS_PROBE_MS = redis.number("REDIS_PROBE_MS", 250, "Milliseconds between two looks whether a lost Redis is back.")
CACHE_URL = redis.redis_url(
    "CACHE_URL", "The Redis of Django's cache, which may be emptied.", unset="database 1 of REDIS_URL's server"
)
BROKER_URL = redis.broker_url("BROKER_URL", "Celery's broker.", unset="database 2 of REDIS_URL's server")
if REDIS_CLUSTER and not (CACHE_URL and BROKER_URL):
    raise ImproperlyConfigured("REDIS_CLUSTER=1 needs CACHE_URL and BROKER_URL: Redis servers that are no cluster")
CACHE_URL = CACHE_URL or with_database(REDIS_URL, CACHE_DATABASE)
BROKER_URL = BROKER_URL or as_broker(REDIS_URL, BROKER_DATABASE)
