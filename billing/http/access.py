"""What a view declares to the gateway: who may come in, and whether the gateway stands before it at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar

from django.http import HttpRequest, HttpResponse

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a view declares to the gateway, in its attribute `access`. A host product's view need not declare any.

    usage.api.contract.ChargedByView is the access of a view that also says what its requests are charged for.
    """

    charges: ClassVar[bool] = False
    public: bool = False
    """The view answers without credentials, too, unless its path is metered. Those that are given must be good."""
    ungated: bool = False
    """The gateway lets every request by and asks no engine: operators' tools, and doors that call `admit_for`."""
    gated: bool = False
    """The gateway stands before the view wherever its path is, also outside of the API and without a route."""
    capabilities: tuple[str, ...] = ()
    """What the caller's plan must include, whatever the path is metered as."""
    problem_response: Callable[[HttpRequest, dict[str, Any]], HttpResponse] | None = None
    """Makes the response that tells a caller of the view of a problem, by its document; None: problem+json, or a page.

    Everybody who refuses a request to the view tells it so, the gateway included.
    """

    def narrowed(self, inner: Access) -> Access:
        """Both declarations of one view: it is charged as the inner one says, if that says it, and needs all of both.

        What is gated is neither public nor ungated.
        """
        if self in (UNDECLARED, inner):
            return inner
        if inner == UNDECLARED:
            return self
        gated = self.gated or inner.gated
        return replace(
            inner if inner.charges or not self.charges else self,
            gated=gated,
            public=(self.public or inner.public) and not gated,
            ungated=(self.ungated or inner.ungated) and not gated,
            capabilities=tuple(dict.fromkeys((*self.capabilities, *inner.capabilities))),
            problem_response=inner.problem_response or self.problem_response,
        )


REMEMBERED: Final = frozenset({"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""The methods whose declarations are remembered: anybody may send made-up ones, which would push these out."""
UNDECLARED: Final = Access()
PUBLIC: Final = Access(public=True)
NOTHING_HERE: Final = Access(public=True)
"""Of the view that answers 404 where no other does; known by its identity."""


def declares(access: Access) -> Callable[[View], View]:
    """Decorator: the access of a view that is a function."""

    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        return view

    return declare


def access_of(view: Any, method: str = "") -> Access:
    """What a view declares for requests of a method: its class, the function itself, and the class' method in one.

    UNDECLARED for most. A class is found behind what `as_view()` made of it, and behind decorators that update what
    they wrap (functools.wraps), as Django's do.
    """
    if method not in REMEMBERED:
        return _access_of(view, method)
    try:
        return _remembered(view, method)
    except TypeError:  # a host's callable that cannot be hashed
        return _access_of(view, method)


def is_of_class(view: Any) -> bool:
    """Whether a class made the view, which so has a method for each of HTTP's that it answers, OPTIONS among them."""
    return _class_of(view) is not view


def _class_of(view: Any) -> Any:
    """The class that made the view: REST framework's, or Django's. The view itself where none did."""
    return getattr(view, "cls", None) or getattr(view, "view_class", view)


def _access_of(view: Any, method: str) -> Access:
    view_class = _class_of(view)
    found = _declared(view_class)
    if view_class is not view:
        found = found.narrowed(_declared(view))
        for name in _handlers(view, method.lower()):
            if (handler := getattr(view_class, name, None)) is not None:
                return found.narrowed(_declared(handler))
    return found


_remembered = lru_cache(2_000)(_access_of)


def _handlers(view: Any, method: str) -> list[str]:
    """The names of the class' methods that may answer, the first that is there does; HEAD is answered by GET's."""
    actions = getattr(view, "actions", None)  # of REST framework's ViewSets
    names = [method, "get"] if method == "head" else [method]
    return [str(actions[name]) for name in names if name in actions] if isinstance(actions, dict) else names


def _declared(declaring: Any) -> Access:
    access = getattr(declaring, "access", UNDECLARED)
    return access if isinstance(access, Access) else UNDECLARED  # a host's own attribute may have the same name
