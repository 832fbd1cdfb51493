"""Tools that agents may call: what each is called, takes and costs. A host product adds its own with `metered_tool`.

An app registers them in its module `mcp_tools`, which is imported at the start. Nothing here needs the MCP library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, Final, TypeVar

from billing.catalogue.published import Catalogue
from billing.entitlements.api_keys import Caller
from billing.rules.entitlement import Metered

Run = TypeVar("Run", bound=Callable[..., dict[str, Any]])

_tools: Final[dict[str, Tool]] = {}


class ToolFailed(Exception):
    """What a tool could not do, in a sentence for the agent. Nothing is charged for the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. `run` takes the gateway's request and the arguments by name, and gives a JSON object.

    `arguments` has the JSON Schema of each argument; one without a `default` has to be given. A tool with a `feature`
    is charged as it by the gateway, before it runs; one without costs a request of the minute. With a `scope` only
    keys that have it see the tool.
    """

    name: str
    description: str
    arguments: Mapping[str, Mapping[str, Any]]
    run: Callable[..., dict[str, Any]]
    feature: str = ""
    scope: str = ""
    changes_nothing: bool = True

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        required = [name for name, schema in self.arguments.items() if "default" not in schema]
        schema = {"type": "object", "properties": dict(self.arguments), "additionalProperties": False}
        return schema | ({"required": required} if required else {})

    def is_offered(self, caller: Caller, catalogue: Catalogue) -> bool:
        """Whether the caller sees it: the key's scope allows it, and its feature is in the catalogue."""
        return (not self.scope or caller.may(self.scope)) and (not self.feature or self.feature in catalogue.features)

    def charged_as(self, catalogue: Catalogue) -> Metered | None:
        """The feature that the gateway charges a call as; None where it costs no tokens."""
        return catalogue.features.get(self.feature)


def find(name: object) -> Tool | None:
    """The tool of that name."""
    return _tools.get(name) if isinstance(name, str) else None


def offered(caller: Caller, catalogue: Catalogue) -> list[Tool]:
    """The tools that a caller sees, in the order of their registration."""
    return [tool for tool in _tools.values() if tool.is_offered(caller, catalogue)]


def tool(
    arguments: Mapping[str, Mapping[str, Any]] | None = None, *, scope: str = "", changes_nothing: bool = True
) -> Callable[[Run], Run]:
    """Decorator: a tool that costs no tokens, called as its function; its docstring tells agents what it is for."""
    return _registering(arguments or {}, scope=scope, changes_nothing=changes_nothing)


def metered_tool(
    feature: str, arguments: Mapping[str, Mapping[str, Any]] | None = None, *, changes_nothing: bool = False
) -> Callable[[Run], Run]:
    """Decorator: a tool that costs the feature's tokens, called as its function; its docstring tells agents of it.

    The gateway admits and charges the call before the function runs. It gives the tokens back when the function
    raises: ToolFailed with a sentence for the agent, or anything else.
    """
    return _registering(arguments or {}, feature=feature, changes_nothing=changes_nothing)


def _registering(arguments: Mapping[str, Mapping[str, Any]], **options: Any) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        name, description = run.__name__, getdoc(run)
        assert description, f"the docstring of {name} is what tells agents when to call it"
        assert name not in _tools, f"there are two tools called {name}"
        _tools[name] = Tool(name=name, description=description, arguments=arguments, run=run, **options)
        return run

    return register
