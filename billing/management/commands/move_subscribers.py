"""manage.py move_subscribers: from one plan to another, all at once."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError
from django.utils import timezone

from billing.api.sentences import to_staff, why_not_moved
from billing.management.progress import ProgressBar
from billing.models import BulkMove, Plan
from billing.rules.money import in_currency
from billing.rules.refused import Refused
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.bulk.moves import Tally

WHEN = {"now": BulkMove.When.NOW, "at-period-end": BulkMove.When.AT_PERIOD_END}
OTHERS_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Move all subscribers of a plan, also an archived one, to another plan: tried first, shown, and done "
        "once that is confirmed. Killed at any point, --go-on does the rest, and so does beat; each is moved once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="source", metavar="PLAN", help="the code of the plan that they leave")
        parser.add_argument("--to", dest="target", metavar="PLAN", help="the code of the plan that they get")
        parser.add_argument("--when", choices=WHEN, help="now, prorated; or when the present period of each ends")
        parser.add_argument("--keep-price", action="store_true", help="who pays less goes on paying what he pays")
        parser.add_argument("--reason", help="why; staff read it in the admin")
        parser.add_argument("--dry-run", action="store_true", help="say what it would come to, and move nobody")
        parser.add_argument("--yes", action="store_true", help="do not ask before they are moved")
        parser.add_argument("--go-on", metavar="MOVE", type=int, help="try or do the rest of a move, by its number")
        parser.add_argument("--stop", metavar="MOVE", type=int, help="move nobody more of it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["stop"] is not None:
                moves.stop(_existing(options["stop"]), timezone.now())
                self.stdout.write(f"move {options['stop']} is stopped")
                return
            move = self._begin(options) if options["go_on"] is None else _existing(options["go_on"])
            self._finish(move, options)
        except ProgrammingError as error:
            raise CommandError("the tables are missing; run manage.py migrate first") from error
        except Refused as error:
            raise CommandError(to_staff(error)) from error

    def _begin(self, options: dict[str, Any]) -> BulkMove:
        missing = [name for name in ("source", "target", "when", "reason") if not (options[name] or "").strip()]
        if missing:
            names = ", ".join(
                f"--{'from' if name == 'source' else 'to' if name == 'target' else name}" for name in missing
            )
            raise CommandError(f"give {names}, or --go-on MOVE")
        if len(options["reason"]) > 200:
            raise CommandError("--reason takes at most 200 characters")
        source, target = (_plan(options[name]) for name in ("source", "target"))
        when, keeps_price = WHEN[options["when"]], options["keep_price"]
        move = moves.begin(moves.Order(source, target, when, keeps_price, options["reason"].strip()), timezone.now())
        self.stdout.write(f"move {move.pk}: {move.items.count():,} subscriptions are tried")
        return move

    def _finish(self, move: BulkMove, options: dict[str, Any]) -> None:
        if move.state == BulkMove.State.STOPPED:
            raise CommandError(f"move {move.pk} is stopped: nobody more is moved by it, begin another one")
        if move.state == BulkMove.State.TRYING:
            self._work(move, options)
        if move.state == BulkMove.State.READY:
            self._show(moves.tally(move), "would be")
            if options["dry_run"]:
                moves.stop(move, timezone.now())
                self.stdout.write("dry run: nobody was moved")
                return
            if not (options["yes"] or _agreed()):
                raise CommandError(f"nobody was moved; --go-on {move.pk} asks again, --stop {move.pk} drops it")
            move = moves.confirm(move, timezone.now())
        began = time.perf_counter()
        done = self._work(move, options) if move.state == BulkMove.State.MOVING else 0
        seconds = time.perf_counter() - began
        self._show(moves.tally(move), "were")
        self.stdout.write(f"move {move.pk} is {move.state.label}")
        if done and seconds:
            self.stdout.write(f"{done:,} here in {seconds:,.1f} s, {done / seconds:,.0f} a second")

    def _work(self, move: BulkMove, options: dict[str, Any]) -> int:
        bar = ProgressBar(self.stderr, moves.tally(move).waiting, shown=options["verbosity"] > 0)
        try:
            # What is left may be in the hands of another worker.
            while not work.work_off(move, timezone.now, progress=bar.advance):
                time.sleep(OTHERS_SECONDS)
        finally:
            bar.end()
        return bar.done

    def _show(self, tally: Tally, were: str) -> None:
        move, sums = tally.move, tally.sums
        before, after = (
            f"{in_currency(sums[name], plan.currency)} {plan.currency}"
            for name, plan in (("price_before", move.source), ("price_after", move.target))
        )
        how = "moved now" if move.when == BulkMove.When.NOW else "moved when their periods end"
        self.stdout.write(f"{tally.moving:,} {were} {how}, of them {tally.kept:,} at the price they have")
        self.stdout.write(f"their periods cost {before} before and {after} afterwards")
        if move.when == BulkMove.When.NOW:
            amounts = [in_currency(amount, move.target.currency) for amount in (sums["credit"], sums["charge"])]
            net, billed = amounts[1] - amounts[0], in_currency(sums["total"], move.target.currency)
            currency = move.target.currency
            self.stdout.write(f"credits {amounts[0]}, charges {amounts[1]}, net {net}, invoices {billed} {currency}")
        for code, count in sorted(tally.refused.items()):
            self.stdout.write(f"{count:,} {were} not moved: {why_not_moved(code)}")


def _plan(code: str) -> Plan:
    plan = Plan.objects.filter(code=code).first()
    if plan is None:
        raise CommandError(f"there is no plan {code}")
    return plan


def _existing(number: int) -> BulkMove:
    move = BulkMove.objects.filter(pk=number).first()
    if move is None:
        raise CommandError(f"there is no move {number}")
    return move


def _agreed() -> bool:
    try:
        return input("Move them? Type yes: ").strip() == "yes"
    except EOFError:
        return False
