"""The laws, checked from the outside: what clients were told against the log, the counters and Redis."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from tests.programs.chaos.evidence import (
    CLOCK_SECONDS,
    USUAL_LAG_SECONDS,
    Allowance,
    Loss,
    Row,
    Verdict,
    minted,
    read_log,
)
from tests.programs.chaos.load import FEATURES, Account, Call
from tests.programs.chaos.site import SHARDS, Site

MINUTE_SECONDS = 60.0
HANG_SECONDS = 5.0
LATE_SECONDS = 60.0  # a request nobody waits for any more may still be taken from the server's queue


class Judge:
    """Judges one experiment, once its load has ended and the drain is empty."""

    def __init__(self, site: Site, accounts: list[Account], calls: list[Call], losses: list[Loss], may: Allowance):
        self.site = site
        self.accounts = {account.pk: account for account in accounts}
        self.calls = calls
        self.losses = losses
        self.may = may
        self.rows = read_log(site, self.accounts)
        self.net: dict[str, int] = defaultdict(int)
        self.row_of: dict[str, Row] = {}
        for row in self.rows:
            self.net[row.event] += row.tokens
            if row.kind == "charge":
                self.row_of[row.event] = row
        self.events_of_keys: dict[tuple[int, str], set[str]] = defaultdict(set)
        for call in calls:
            if call.key and call.served:
                self.events_of_keys[call.account, call.key].add(call.event)
        taken_back = self._taken_back()
        self.acknowledged = {
            call.event: call
            for call in calls
            if call.served and call.event and not call.replayed and call.event not in taken_back
        }
        self.verdict = Verdict()

    def judge(self) -> Verdict:
        self._answers()
        self._quota()
        self._nothing_lost()
        self._nothing_twice()
        self._keys()
        self._minute()
        self._sums()
        return self.verdict

    def _taken_back(self) -> set[str]:
        """Charges whose key was charged by another side as well, of which neither could know, and that were voided."""
        voided = {row.event for row in self.rows if row.kind == "void"} & self.row_of.keys()
        return {
            event
            for found in self.events_of_keys.values()
            for event in found & voided
            if self._could_not_be_known(sorted(found)) and (self.may.split or event != max(found))
        }

    def _could_not_be_known(self, found: list[str]) -> bool:
        """Whether each charge of a key was made where the one before it was not known yet."""
        return all(
            self._undrained(earlier) or (self.may.split and minted(later) - minted(earlier) < USUAL_LAG_SECONDS)
            for earlier, later in pairwise(found)
        )

    def _undrained(self, event: str) -> bool:
        return any(loss.undrained(event) for loss in self.losses)

    def _answers(self) -> None:
        seen = self.verdict
        failed = [call for call in self.calls if call.failed_here]
        seen.requests, seen.errors = len(self.calls), len(failed)
        seen.unanswered = sum(call.status == 0 for call in self.calls)
        times = sorted(call.ended - call.began for call in self.calls if call.status > 0 and not call.sleeps)
        seen.p99_ms = 1000 * times[int(0.99 * (len(times) - 1))] if times else 0.0
        slow = [call for call in self.calls if call.ended - call.began > HANG_SECONDS and not call.sleeps]
        if slow and not self.may.slow:
            seen.find(f"L4: {len(slow)} calls were not answered within {HANG_SECONDS:.0f} s", slow)
        wrong = [call for call in failed if call.status != 503 or not call.retry_after]
        if wrong:
            seen.find(f"{len(wrong)} 5xx that are no 503 with Retry-After", wrong)
        unexpected = [call for call in failed if not (self.may.unavailable or self.accounts[call.account].cold)]
        if unexpected:
            seen.find(f"{len(unexpected)} calls answered with 5xx", unexpected)
        priced = [
            call
            for call in self.calls
            if call.served and call.feature and call.cost != (0 if call.replayed else FEATURES[call.feature][1])
        ]
        if priced:
            seen.find("served at a wrong cost", priced)

    def _quota(self) -> None:
        """L1: per account and window, by what clients were told and by the log, whichever is more."""
        told: Counter[tuple[int, int]] = Counter()
        logged: Counter[tuple[int, int]] = Counter()
        only_window = {row.account: row.window for row in self.rows}
        for event, call in self.acknowledged.items():
            row = self.row_of.get(event)
            told[call.account, row.window if row else only_window.get(call.account, 0)] += call.cost
        for row in self.rows:
            logged[row.account, row.window] += row.tokens
        for account, window in told.keys() | logged.keys():
            quota = self.accounts[account].quota
            if quota is None or not self.accounts[account].fixed:
                continue
            over = max(told[account, window], logged[account, window]) - quota
            self.verdict.overshoot = max(self.verdict.overshoot, over)
            if over > self._overshoot_allowed(account):
                what = f"L1: account {account} got {quota + over} tokens of a quota of {quota} in window {window}"
                self.verdict.find(f"{what}; {self._overshoot_allowed(account)} more were allowed")

    def _overshoot_allowed(self, account: int) -> int:
        if not self.may.overshoot_undrained:
            return 0
        events = {row.event: row.tokens for row in self.rows if row.account == account and row.kind == "charge"}
        events |= {event: call.cost for event, call in self.acknowledged.items() if call.account == account}
        unknown = sum(tokens for event, tokens in events.items() if self._undrained(event))
        if not self.may.split:
            return unknown
        charged = [(minted(event), tokens) for event, tokens in events.items()]
        untold = [sum(tokens for at, tokens in charged if 0 <= at - start < USUAL_LAG_SECONDS) for start, _ in charged]
        return unknown + max(untold, default=0)

    def _nothing_lost(self) -> None:
        """L2: what a client was told is charged, is in the log; what failed, is not charged."""
        lost = [call for event, call in self.acknowledged.items() if self.net.get(event, 0) != call.cost]
        self.verdict.lost = len(lost)
        if self.may.loses_undrained:
            lost = [call for call in lost if not self._undrained(call.event)]
        if lost:
            self.verdict.find(f"L2: {len(lost)} acknowledged charges are not in the log", lost)

    def _nothing_twice(self) -> None:
        """L2: what is in the log was acknowledged, or is what became of a call without an answer."""
        failed = [call for call in self.calls if call.event and not call.served and not call.unknown]
        charged = [call for call in failed if self.net.get(call.event, 0) != 0]
        if self.may.loses_undrained:
            charged = [call for call in charged if not any(loss.undrained_void(call.ended) for loss in self.losses)]
        if charged:
            self.verdict.find(f"L2: {len(charged)} failed calls stay charged", charged)
        answered = {call.event for call in self.calls if call.served} | {call.event for call in failed}
        strays = [row for event, row in self.row_of.items() if event not in answered and self.net[event] != 0]
        orphans = self._without_an_unknown_call(strays)
        repeated = [row for row, times in Counter(self.rows).items() if times > 1]
        self.verdict.duplicated = len(orphans) + len(repeated) + len(charged)
        if orphans:
            self.verdict.find(f"L2: {len(orphans)} charges in the log that no call explains", orphans)
        if repeated:
            self.verdict.find("L2: rows that are twice in the log", repeated)

    def _without_an_unknown_call(self, strays: list[Row]) -> list[Row]:
        """Each stray comes of a call without an answer (503 says not served) whose key was not served later either."""
        settled = {call.key for call in self.calls if call.key and call.served}
        waiting = [call for call in self.calls if call.status == 0 and call.feature and call.key not in settled]
        unexplained = []
        for row in sorted(strays, key=lambda row: minted(row.event)):
            at = minted(row.event)
            fitting = [
                call
                for call in waiting
                if call.account == row.account
                and FEATURES[call.feature][0] == row.feature
                and call.began - CLOCK_SECONDS <= at <= call.ended + LATE_SECONDS
            ]
            if not fitting:
                unexplained.append(row)
                continue
            waiting.remove(min(fitting, key=lambda call: call.ended))
        return unexplained

    def _keys(self) -> None:
        """One idempotency key is one charge. It is sold again only where the earlier charge could not be known of."""
        sold_again = [(key, sorted(found)) for key, found in self.events_of_keys.items() if len(found) > 1]
        twice = [(key, found) for key, found in sold_again if sum(self.net[event] > 0 for event in found) > 1]
        self.verdict.duplicated += len(twice)
        if twice:
            self.verdict.find("L2: idempotency keys that stay charged more than once", twice)
        known = [(key, found) for key, found in sold_again if not self._could_not_be_known(found)]
        if known:
            self.verdict.find("L2: idempotency keys that were sold again although their charge was known", known)

    def _minute(self) -> None:
        """L3: calls that certainly lie within one window of 60 s, by the clients' clocks."""
        for account in self.accounts.values():
            if account.minute is None or not account.fixed:
                continue
            refused = (-1, 0, 401, 403, 409, 429, 503)
            mine = [call for call in self.calls if call.account == account.pk and not call.replayed]
            admitted = [call for call in mine if call.status not in refused]
            allowed = account.minute * (1 + self.may.minutes_anew)
            worst = max((_begun_and_ended(admitted, call.began) for call in admitted), default=0)
            if worst > allowed:
                self.verdict.find(f"L3: account {account.pk} was admitted {worst} times in 60 s, {allowed} are allowed")

    def _sums(self) -> None:
        """L2: log = counter = features = days = Redis, with nothing pending."""
        logged: Counter[tuple[int, int]] = Counter()
        for row in self.rows:
            logged[row.account, row.window] += row.tokens
        of_account: Counter[int] = Counter()
        for (account, _), tokens in logged.items():
            of_account[account] += tokens
        for name, found in self._stored_sums().items():
            expected: dict[Any, int] = dict(of_account) if name == "days" else dict(logged)
            wrong = [
                f"{key}: log {expected.get(key, 0)}, {name} {found.get(key, 0)}"
                for key in expected.keys() | found.keys()
                if expected.get(key, 0) != found.get(key, 0)
            ]
            if wrong:
                self.verdict.find(f"L2: the log and the {name} differ", wrong)
        wrong = [found for at, tokens in logged.items() if (found := self._in_redis(*at, tokens))]
        if wrong:
            self.verdict.find("L2: Redis and the log differ", wrong)

    def _stored_sums(self) -> dict[str, dict[Any, int]]:
        epoch = "extract(epoch FROM {})::bigint"
        queries = {
            "counters": f"SELECT account_id, {epoch.format('starts_at')}, tokens FROM usage_windowusage",
            "features": f"SELECT account_id, {epoch.format('window_starts_at')}, sum(tokens)::bigint"
            " FROM usage_featureusage",
            "days": "SELECT account_id, sum(tokens)::bigint FROM usage_dailyusage",
        }
        ends = {"counters": "", "features": " GROUP BY 1, 2", "days": " GROUP BY 1"}
        sums: dict[str, dict[Any, int]] = {}
        with self.site.sql() as connection:
            for name, query in queries.items():
                rows = connection.execute(f"{query} WHERE account_id = ANY(%s){ends[name]}", [list(self.accounts)])
                sums[name] = {row[0] if name == "days" else (row[0], row[1]): row[-1] for row in rows}
        return sums

    def _in_redis(self, account: int, window: int, tokens: int) -> str:
        client = self.site.redis()
        try:
            held = client.hgetall(f"{{s{account % SHARDS:02d}}}:q:{account}:{window}")
        finally:
            client.close()
        ledger, pending = int(held.get(b"l", 0)), int(held.get(b"p", 0))
        if window in self._past_windows and not pending:
            return ""  # nothing is judged by it any more, so what PostgreSQL counted last need not be told
        return "" if (ledger, pending) == (tokens, 0) else f"{(account, window)}: log {tokens}, l {ledger}, p {pending}"

    @property
    def _past_windows(self) -> set[int]:
        latest: dict[int, int] = {}
        for row in self.rows:
            latest[row.account] = max(latest.get(row.account, 0), row.window)
        return {row.window for row in self.rows if row.window < latest[row.account]}


def _begun_and_ended(calls: list[Call], start: float) -> int:
    return sum(call.began >= start and call.ended < start + MINUTE_SECONDS for call in calls)
