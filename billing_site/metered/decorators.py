"""Decorators that put a view behind the gateway: charged as a feature, or open to plans with a capability only.

They declare the view's `Access`, which the gateway reads before the view runs; so a call costs the one command of Redis
that it costs at a routed path. The view is wrapped besides: where the gateway cannot have seen the declaration (a
decorator outside hides it, or another view calls it, whose own price is not this one's), it does not run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

from billing.catalogue.in_memory import Catalogue
from billing.http import problems
from billing.http.access import UNDECLARED, Access, access_of, is_of_class
from usage.api.contract import ChargedByView, find_admission
from usage.metering.admit import feature_of
from usage.metering.call import ChargeRequest

logger = logging.getLogger(__name__)
View = TypeVar("View", bound=Callable[..., Any])
DETAIL: Final = "This is metered, and could not be charged; the call was not served."


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredAs(ChargedByView):
    """The access of a view that is charged as one feature."""

    feature: str
    around: tuple[str, ...] = ()
    """The features of declarations around this one, of which it takes the place: its class', or that in the URLs."""

    def narrowed(self, inner: Access) -> Access:
        both = ChargedByView.narrowed(self, inner)  # no super(): slots make the class anew
        if isinstance(both, MeteredAs) and isinstance(inner, MeteredAs):
            return replace(both, around=(*self.around, self.feature, *inner.around))
        return both


def metered(feature: str) -> Callable[[View], View]:
    """Charge each successful call of the view as the feature; a route in the admin that covers its path goes first.

    For functions, `async` ones too, classes (Django's, REST framework's, ViewSets), and single methods of classes.
    Raises ImproperlyConfigured for a function that is metered as another feature.
    """

    def charge_of(request: HttpRequest, catalogue: Catalogue) -> ChargeRequest:
        return ChargeRequest(feature_of(feature, catalogue))

    return _declaring(MeteredAs(gated=True, charge_of=charge_of, feature=feature))


def requires(capability: str) -> Callable[[View], View]:
    """Let callers in whose plan includes the capability; all others get 403. A call is one request of the minute.

    Beside `metered`, or at a routed path, the call is charged as well.
    """
    return _declaring(Access(gated=True, capabilities=(capability,)))


def _declaring(access: Access) -> Callable[[View], View]:
    def declare(view: Any) -> Any:
        held = getattr(view, "access", UNDECLARED)
        if not isinstance(view, type) and not is_of_class(view):
            _refuse_two_prices(view, held, access)
        both = held.narrowed(access) if isinstance(held, Access) else access
        if isinstance(view, type):
            view.dispatch = _guarded(view.dispatch, access)  # type: ignore[attr-defined]
            view.access = both  # type: ignore[attr-defined]
            return view
        guarded = _guarded(view, access)
        guarded.access = both  # type: ignore[attr-defined]
        return guarded

    return declare


def _refuse_two_prices(view: Any, held: Any, access: Access) -> None:
    if isinstance(held, MeteredAs) and isinstance(access, MeteredAs) and held.feature != access.feature:
        name = f"{view.__module__}.{getattr(view, '__qualname__', '')}"
        text = f"{name} is metered as {held.feature!r} and as {access.feature!r}: a view has one price."
        raise ImproperlyConfigured(f"{text} What else it costs, let it `track`.")


def _guarded(view: Callable[..., Any], access: Access) -> Callable[..., Any]:
    """The view, run only in requests that the gateway has admitted as `access` says."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def run(*args: Any, **kwargs: Any) -> Any:
            request = _request_in(args)
            return await view(*args, **kwargs) if _was_seen(request, access) else _hidden(request, view)

        return run

    @wraps(view)
    def call(*args: Any, **kwargs: Any) -> Any:
        request = _request_in(args)
        if _was_seen(request, access):
            return view(*args, **kwargs)
        refusal = _hidden(request, view)
        return _later(refusal) if getattr(args[0], "view_is_async", False) else refusal

    return call


def _request_in(args: tuple[Any, ...]) -> Any:
    """REST framework's or Django's: the first argument of a function, the second one of a method."""
    return args[0] if hasattr(args[0], "META") else args[1]


def _was_seen(request: Any, access: Access) -> bool:
    match = request.resolver_match
    if match is None or find_admission(request) is None:
        return False
    seen = access_of(match.func, request.method or "")
    if isinstance(access, MeteredAs) and access.feature not in _features_of(seen):
        return False
    return seen.gated and set(access.capabilities) <= set(seen.capabilities)


def _features_of(seen: Access) -> tuple[str, ...]:
    return (seen.feature, *seen.around) if isinstance(seen, MeteredAs) else ()


def _hidden(request: Any, view: Callable[..., Any]) -> HttpResponse:
    logger.error(
        "%s.%s is decorated by billing_site.metered, and the gateway did not charge or let in for it at %s: let the"
        " decorator be the outermost one, and views be called by their URL, not by each other.",
        view.__module__,
        getattr(view, "__qualname__", ""),
        request.path,
    )
    return problems.respond(getattr(request, "_request", request), 503, "unavailable", DETAIL)


async def _later(response: HttpResponse) -> HttpResponse:
    return response
