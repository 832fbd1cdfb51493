"""OpenAI's usage block and our disjoint units, each as the other."""

from __future__ import annotations

from typing import Any

from billing.rules.tokens.model_prices import Units


def units_of(usage: Any) -> Units | None:
    """The units of a usage block; None where there is none that can be read.

    `prompt_tokens` counts the cached ones in, and `completion_tokens` the reasoning. Who writes into a cache is billed
    as for input: the block has no member for it.
    """
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if prompt is not None and cached is not None:
        cached = min(cached, prompt)
    return {
        "input": None if prompt is None else prompt - (cached or 0),
        "cache_read": cached,
        "cache_write": None,
        "output": completion,
    }


def block_of(units: Units) -> dict[str, Any]:
    """The usage block of these units."""
    cached, output = units.get("cache_read") or 0, units.get("output") or 0
    prompt = (units.get("input") or 0) + cached + (units.get("cache_write") or 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
