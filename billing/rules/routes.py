"""Which paths a route can name, and which of several routes with parameters a path belongs to.

The longest of all is found by `Catalogue.feature_at` in `billing.catalogue.in_memory`.

A route covers its path and everything below. A segment in braces, such as {id}, is a parameter: any one segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PARAMETER = re.compile(r"\{[a-z_][a-z0-9_]*\}")
SEGMENT = re.compile(r"(?!:)[\w.~!$&'()+,;=:@-]+")
"""What a segment of a request's path can hold; a colon in front is how other products spell a parameter."""
Route = tuple[str, str]
"""Normalised path and method; no method stands for any."""


def why_no_route(path: str, own_paths: Iterable[str]) -> str | None:
    """Why a normalised path can be no route's, as a sentence; None where it can.

    `own_paths` are the product's own: a route that met one would lock out whoever has no API key.
    """
    segments = path.split("/")[1:]
    for segment in segments:
        if segment in (".", ".."):
            return f"Leave out “{segment}”: clients resolve it before they send, so the route would never match."
        if "*" in segment:
            return "Leave out “*”: a route covers everything below its path, and {id} stands for any one segment."
        if not (PARAMETER.fullmatch(segment) or SEGMENT.fullmatch(segment)):
            return f"“{segment}” can be no segment of a path. A parameter is a whole segment in braces, such as {{id}}."
    for own in own_paths:
        if _meet(segments, own.split("/")[1:]):
            return f"The route would cover {own}, which is the product's own: only its views decide who may come in."
    return None


def has_parameters(path: str) -> bool:
    return "{" in path


def shape(path: str) -> str:
    """The path without its parameters' names: routes of one shape cover the same requests."""
    return PARAMETER.sub("{}", path)


def _meet(some: list[str], others: list[str]) -> bool:
    """Whether one request can lie at or below both."""
    return all(
        one == other or PARAMETER.fullmatch(one) or PARAMETER.fullmatch(other)
        for one, other in zip(some, others, strict=False)
    )


class ParameterRoutes:
    """Routes with parameters: segment by segment, what is written out goes before a parameter."""

    def __init__(self, routes: dict[Route, str]) -> None:
        self._by_depth: dict[int, list[tuple[re.Pattern[str], dict[str, str]]]] = {}
        features_at: dict[str, dict[str, str]] = {}
        for (path, method), feature in routes.items():
            features_at.setdefault(shape(path), {}).setdefault(method, feature)
        # False sorts first: of two paths that match, the one that is written out where they first differ.
        for path in sorted(features_at, key=lambda path: [segment == "{}" for segment in path.split("/")]):
            pattern = re.compile("/".join("[^/]+" if part == "{}" else re.escape(part) for part in path.split("/")))
            self._by_depth.setdefault(path.count("/"), []).append((pattern, features_at[path]))

    def feature_at(self, method: str, prefix: str) -> str | None:
        """The code of the feature that exactly this prefix belongs to; a method goes before none."""
        for pattern, features in self._by_depth.get(prefix.count("/"), ()):
            if pattern.fullmatch(prefix) and (feature := features.get(method) or features.get("")):
                return feature
        return None
