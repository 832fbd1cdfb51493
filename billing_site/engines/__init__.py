"""Private PostgreSQL and Valkey servers, for while no DATABASE_URL or REDIS_URL is set."""

from billing_site.engines.places import Places
from billing_site.engines.postgres import Postgres
from billing_site.engines.process import EngineError
from billing_site.engines.valkey import Valkey

__all__ = ["EngineError", "Places", "Postgres", "Valkey"]
