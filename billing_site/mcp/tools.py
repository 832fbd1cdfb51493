"""Tools that agents may call: what each is called, takes and costs. A host product adds its own with `metered_tool`.

An app registers them in its module `mcp_tools`, which is imported at the start. Nothing here needs the MCP library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, getdoc, signature
from typing import Any, Final, TypeVar

from django.http import HttpRequest

from billing.catalogue.in_memory import Catalogue
from billing.entitlements.callers import Caller
from usage.log import events
from usage.metering.admission import Admission
from usage.metering.call import ChargeRequest

Run = TypeVar("Run", bound=Callable[..., dict[str, Any]])
Arguments = Mapping[str, Mapping[str, Any]]
"""The JSON Schema of each argument, by its name."""
Charge = Callable[[HttpRequest, Catalogue, Mapping[str, Any]], ChargeRequest]
"""What the gateway is to charge a call with these arguments; nothing for what the tool is going to refuse."""

_tools: Final[dict[str, Tool]] = {}


class ToolFailed(Exception):
    """What a tool could not do, in a sentence for the agent. Nothing is charged for the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. `run` takes the gateway's request and the arguments by name, and gives a JSON object.

    What its function has a default for need not be given. A tool with a `feature` is charged as it by the gateway,
    before it runs, and one with a `charge` as that says; others cost a request of the minute. With a `scope` only keys
    that have it see the tool.
    """

    name: str
    description: str
    arguments: Arguments
    required: tuple[str, ...]
    run: Callable[..., dict[str, Any]]
    feature: str = ""
    charge: Charge | None = None
    scope: str = ""
    changes_nothing: bool = True

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        schema = {"type": "object", "properties": dict(self.arguments), "additionalProperties": False}
        return schema | ({"required": list(self.required)} if self.required else {})

    def is_offered(self, caller: Caller, catalogue: Catalogue) -> bool:
        """Whether the caller sees it: the key's scope allows it, and its feature is in the catalogue."""
        return (not self.scope or caller.may(self.scope)) and (not self.feature or self.feature in catalogue.features)

    def charge_of(self, request: HttpRequest, catalogue: Catalogue, arguments: Mapping[str, Any]) -> ChargeRequest:
        """What the gateway charges a call."""
        if self.charge is not None:
            return self.charge(request, catalogue, arguments)
        return ChargeRequest(catalogue.features.get(self.feature))

    def is_paid(self, admission: Admission) -> bool:
        """Whether the gateway has charged the call as one of this tool, however it has read the message."""
        charged = admission.request
        if self.charge is not None:
            return charged.feature is None or charged.source == events.RESERVE
        return charged.feature == admission.snapshot.catalogue.features.get(self.feature)


def find(name: object) -> Tool | None:
    """The tool of that name."""
    return _tools.get(name) if isinstance(name, str) else None


def offered(caller: Caller, catalogue: Catalogue) -> list[Tool]:
    """The tools that a caller sees, in the order of their registration."""
    return [tool for tool in _tools.values() if tool.is_offered(caller, catalogue)]


def tool(
    arguments: Arguments | None = None, *, scope: str = "", charge: Charge | None = None, changes_nothing: bool = True
) -> Callable[[Run], Run]:
    """Decorator: a tool of no feature's, called as its function; its docstring tells agents what it is for."""
    return _registering(arguments or {}, scope=scope, charge=charge, changes_nothing=changes_nothing)


def metered_tool(
    feature: str, arguments: Arguments | None = None, *, changes_nothing: bool = False
) -> Callable[[Run], Run]:
    """Decorator: a tool that costs the feature's tokens, called as its function; its docstring tells agents of it.

    The gateway admits and charges the call before the function runs. It gives the tokens back when the function
    raises: ToolFailed with a sentence for the agent, or anything else.
    """
    return _registering(arguments or {}, feature=feature, changes_nothing=changes_nothing)


def _registering(arguments: Arguments, **options: Any) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        name, description = run.__name__, getdoc(run)
        _, *taken = signature(run).parameters.values()
        if not description:
            raise ValueError(f"{name} has no docstring, which tells agents when to call it")
        if {parameter.name for parameter in taken} != set(arguments):
            raise ValueError(f"{name} takes others than {', '.join(arguments) or 'no arguments'} beside the request")
        if name in _tools:
            raise ValueError(f"there are two tools called {name}")
        required = tuple(parameter.name for parameter in taken if parameter.default is Parameter.empty)
        _tools[name] = Tool(
            name=name, description=description, arguments=arguments, required=required, run=run, **options
        )
        return run

    return register
