"""manage.py's body: a missing engine or setting is one clear line and a non-zero exit, not a stack trace."""

import sys

import redis
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import InterfaceError, OperationalError

from billing.postgres.clock import ClockSkewed
from ratelimit.servers.single import RedisUnreachable


def execute(argv: list[str]) -> int:
    """Run a command; gives the process's exit code. With --traceback nothing is swallowed."""
    try:
        execute_from_command_line(argv)
    except KeyboardInterrupt:
        return 130
    except ImproperlyConfigured as error:
        if "--traceback" in argv:
            raise
        return _fail(str(error))
    except ClockSkewed as error:
        if "--traceback" in argv:
            raise
        return _fail(str(error))
    except (OperationalError, InterfaceError, RedisUnreachable, redis.ConnectionError, redis.TimeoutError):
        from billing_site.local.reachability import unreachable

        problem = unreachable()
        if problem is None or "--traceback" in argv:
            raise
        return _fail(problem)
    return 0


def _fail(problem: str) -> int:
    print(f"manage.py: {problem}", file=sys.stderr)
    return 1
