"""Private PostgreSQL and Valkey servers, for while no DATABASE_URL or REDIS_URL is set."""

from billing_site.local.engines.places import Places
from billing_site.local.engines.postgres import Postgres
from billing_site.local.engines.process import EngineError
from billing_site.local.engines.valkey import Valkey

__all__ = ["EngineError", "Places", "Postgres", "Valkey"]
