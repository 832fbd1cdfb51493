"""What a view declares to the gateway: who may come in, and whether the gateway stands before it at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.http import HttpRequest, HttpResponse

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a view declares to the gateway, in its attribute `access`. A host product's view need not declare any.

    usage.api.contract.ChargedByView is the access of a view that also says what its requests are charged for.
    """

    public: bool = False
    """The view answers without credentials, too, unless its path is metered. Those that are given must be good."""
    ungated: bool = False
    """The gateway lets every request by and asks no engine: operators' tools, and doors that call `admit_for`."""
    problem_response: Callable[[HttpRequest, dict[str, Any]], HttpResponse] | None = None
    """Makes the response that tells a caller of the view of a problem, by its document; None: problem+json, or a page.

    Everybody who refuses a request to the view tells it so, the gateway included.
    """


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


def access_of(view: Any) -> Access:
    """What a view declares: a function by itself, one that `as_view()` made by its class. UNDECLARED for most."""
    view_class = getattr(view, "cls", None) or getattr(view, "view_class", view)  # REST framework's, Django's
    access = getattr(view_class, "access", UNDECLARED)
    return access if isinstance(access, Access) else UNDECLARED  # a host's own attribute may have the same name
