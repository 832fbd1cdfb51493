"""All examinations side by side, each within its time: one that hangs is a line, and holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from django.db import Error as DatabaseError
from django.db import connections

from billing_site.operations.doctor import engines, processes, site
from billing_site.operations.doctor.finding import Finding, Unanswered, fail, warn
from ratelimit.servers.single import RedisUnreachable

SECONDS: Final = 10.0


@dataclass(frozen=True)
class Examination:
    """One part of the site; `look` may take its time, and raise."""

    subject: str
    look: Callable[[], Iterable[Finding]]
    needs_postgres: bool = True
    needs_redis: bool = False


ENGINES: Final = (
    Examination("postgres", engines.postgres, needs_postgres=False),
    Examination("redis", engines.redis, needs_postgres=False),
    Examination("cache", engines.cache, needs_postgres=False),
    Examination("broker", engines.broker, needs_postgres=False),
)
REST: Final = (
    Examination("settings", site.settings_make_sense, needs_postgres=False),
    Examination("site", site.site, needs_postgres=False),
    Examination("https", site.https, needs_postgres=False),
    Examination("open", site.what_is_open, needs_postgres=False),
    Examination("time", engines.time),
    Examination("migrations", engines.migrations),
    Examination("catalogue", site.catalogue),
    Examination("staff", site.staff),
    Examination("beat", processes.beat, needs_postgres=False),
    Examination("drain", processes.drained, needs_redis=True),
    Examination("outbox", processes.outbox),
    Examination("mail", site.mail, needs_postgres=False),
    Examination("payments", site.payments),
)


def examine(seconds: float = SECONDS) -> list[Finding]:
    """Everything, in at most about twice so many seconds, whatever is down."""
    asked = _side_by_side(ENGINES, seconds)
    gone = {look.subject for look in asked if not look.answered}
    rest = [_without(one, lacks) if (lacks := _lacks(one, gone)) else one for one in REST]
    return [finding for look in (*asked, *_side_by_side(rest, seconds)) for finding in look.findings]


def _without(one: Examination, engine: str) -> Examination:
    found = warn(one.subject, f"not known without {engine}", "Look again when it answers.")
    return Examination(one.subject, lambda: [found])


def _lacks(one: Examination, gone: set[str]) -> str:
    if one.needs_postgres and "postgres" in gone:
        return "PostgreSQL"
    return "Redis" if one.needs_redis and "redis" in gone else ""


def _side_by_side(examinations: Iterable[Examination], seconds: float) -> list[_Look]:
    give_up_at = time.monotonic() + seconds
    looks = [_Look(one) for one in examinations]
    for look in looks:
        look.wait(give_up_at, seconds)
    return looks


class _Look:
    """One examination in a thread of its own, which ends with the process where it hangs."""

    def __init__(self, examination: Examination) -> None:
        self.subject = examination.subject
        self.answered = False
        """What was asked was there, whatever it said."""
        self._examination = examination
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._run, name=f"doctor-{examination.subject}", daemon=True)
        self._thread.start()

    def wait(self, give_up_at: float, seconds: float) -> None:
        self._thread.join(max(give_up_at - time.monotonic(), 0))
        late = [fail(self.subject, f"no answer within {seconds:g} s", "See whether what it asks hangs.")]
        self.findings = late if self._thread.is_alive() else self._found

    def _run(self) -> None:
        try:
            self._found = list(self._examination.look())
            self.answered = True
        except Unanswered as unanswered:
            self._found = [fail(self.subject, str(unanswered), "")]
        except (DatabaseError, RedisUnreachable, OSError) as error:
            self._found = [fail(self.subject, f"could not be looked at: {_line(error)}", "See to the engines first.")]
        except Exception as error:
            # Whatever it is, the other lines are worth having.
            self._found = [fail(self.subject, f"{type(error).__name__}: {_line(error)}", "A defect: please report it.")]
        finally:
            connections.close_all()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
