"""Calls that a limit refuses: a quota, the minute, a budget, a run."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import WAY_UP, ErrorCode

_RETRY_AFTER: Final = {"retry_after": "Whole seconds until the call would pass; null where waiting cannot help."}
_POLICIES: Final = {"violated-policies": "The limits that refused the call: `quota`, `minute`, `key`, `run`."}
_BUDGET: Final = {
    "budget": "Which one, such as `tokens_per_day` or `calls_per_run`.",
    "limit": "What it allows.",
    "used": "What is used of it.",
    "cost": "Of the call, in tokens.",
    "resets_at": "When its day or month ends, in UTC; null of any other.",
}
OF_LIMITS: Final = (
    ErrorCode(
        "bound_exceeded",
        429,
        "The work needs more tokens than its reservation holds, and its quota or its parent has not so many.",
        "Stop the work, and settle what was used. `affordable` says how far it may go.",
        {
            "violated-policies": "What has not so many: `quota`, or `parent`, the reservation that it draws from.",
            "tokens_reserved": "What it holds.",
            "tokens_lacking": "What is missing.",
            "tokens_remaining": "Of the quota.",
            "affordable": "How many of one unit would pass, with the other units as told; or tokens.",
        }
        | _RETRY_AFTER,
    ),
    ErrorCode(
        "quota_exceeded",
        429,
        "The tokens of the window do not suffice for the call. Nothing was charged.",
        "Wait until `resets_at`, buy a token pack, raise your cap on tokens above the quota, or change to "
        "`suggested_plan`. Where `X-Should-Retry: false` is sent, do not let a client wait by itself.",
        _POLICIES
        | {
            "quota": "Tokens of the window that cost nothing extra.",
            "tokens_used": "What is used of them.",
            "tokens_remaining": "What is left.",
            "overage": "What is sold above the quota, and is used up as well; null where nothing is.",
            "cost": "Of the call.",
            "affordable": "Of a reservation in units: how many of one unit would pass, with the others as asked.",
            "resets_at": "When the next window begins.",
        }
        | _RETRY_AFTER
        | WAY_UP,
    ),
    ErrorCode(
        "rate_limited",
        429,
        "More requests in 60 seconds than the plan allows, or too many unknown keys or codes. Nothing was charged.",
        "Wait as long as `Retry-After` says and send the request again; spread calls, or change the plan.",
        _POLICIES | {"limit": "Requests in any 60 seconds."} | _RETRY_AFTER | WAY_UP,
    ),
    ErrorCode(
        "budget_exceeded",
        429,
        "A budget of the API key, or of the run that `Usage-Run` names, does not suffice. Nothing was charged.",
        "Wait until `resets_at`, or have the key's owner raise the budget. A run's budget never comes back.",
        _POLICIES
        | _BUDGET
        | {"affordable": "Of a reservation in units: how many of one unit would pass, with the others as asked."}
        | _RETRY_AFTER,
    ),
    ErrorCode(
        "too_many_open",
        429,
        "The run has as many open reservations as it may have.",
        "Settle or release one, then send the request again.",
        _POLICIES | _BUDGET | _RETRY_AFTER,
    ),
    ErrorCode(
        "loop_detected",
        429,
        "The same request came too often in a row in one run: probably a loop. Nothing was charged.",
        "Stop the run, or send something else. Where it is meant, have the key's owner raise `repeats_per_run`.",
        _POLICIES | _BUDGET | _RETRY_AFTER,
    ),
)
