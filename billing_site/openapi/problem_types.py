"""Problems in the OpenAPI document: a schema for each code, found by `code` (discriminator), with an example of each.

Views say which codes they answer with (billing.http.openapi.problem), parts.yaml what the gateway's own carry. Here
each code gets one schema of its own, so that a generated client has one type for it, and a response names those that
it may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from billing.http.error_codes import ERRORS
from billing.http.problems import MEDIA_TYPE
from billing_site.openapi.problem_examples import example_of

BASE: Final = {"$ref": "#/components/schemas/Problem"}


class TwoMeanings(ValueError):
    """A code is described with different members in two places: clients know a problem by its code alone."""


def with_problem_types(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook, the last one: name the problems of all responses."""
    components = result["components"]
    types = _Types(components["schemas"])
    for content in _contents(result):
        content["schema"] = types.union_of(content["schema"])
        codes = types.codes_of(content["schema"])
        if examples := {code: {"value": example_of(code)} for code in codes if code in ERRORS}:
            content["examples"] = examples
    for code in ERRORS:
        types.name_of(code, {}, [])
    components["schemas"] = dict(sorted(types.schemas.items()))
    return result


def _contents(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The part of each response that is a problem."""
    operations = chain.from_iterable(methods.values() for methods in result["paths"].values())
    responses = [operation["responses"] for operation in operations] + [result["components"]["responses"]]
    for response in chain.from_iterable(each.values() for each in responses):
        if MEDIA_TYPE in response.get("content", {}):
            yield response["content"][MEDIA_TYPE]


class _Types:
    """The schemas of the document, and which of them is that of a code."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas
        self.by_code: dict[str, str] = {}
        for name, schema in list(schemas.items()):
            if codes := _codes(schema):
                schemas[name] = self._whole(
                    schema.get("description", ""), schema["properties"], schema.get("required", [])
                )
                self.by_code |= dict.fromkeys(codes, name)

    def union_of(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The same schema by names: one, or as many as it has codes."""
        names = dict.fromkeys(self._names(schema))
        refs = [{"$ref": f"#/components/schemas/{name}"} for name in names]
        if len(refs) == 1:
            return refs[0]
        if "Problem" in names:  # any code, such as a host product's own
            return {"anyOf": refs}
        mapping = {code: f"#/components/schemas/{name}" for code, name in self.by_code.items() if name in names}
        return {"oneOf": refs, "discriminator": {"propertyName": "code", "mapping": dict(sorted(mapping.items()))}}

    def codes_of(self, union: dict[str, Any]) -> list[str]:
        """The codes of a union of names, in its order."""
        names = [ref["$ref"].rpartition("/")[2] for ref in union.get("oneOf", union.get("anyOf", [union]))]
        return [code for name in names for code, its in self.by_code.items() if its == name]

    def name_of(self, code: str, members: dict[str, Any], required: list[str]) -> str:
        """The name of the code's schema, which is made if there is none."""
        if code not in self.by_code:
            name = code.replace("_", " ").title().replace(" ", "")
            meaning = ERRORS[code].meaning if code in ERRORS else ""
            properties = {"code": {"type": "string", "const": code}, **members}
            if name in self.schemas:  # such as what a webhook tells of the same event
                name += "Problem"
            self.schemas[name] = self._whole(meaning, properties, required)
            self.by_code[code] = name
        elif not members.keys() <= (known := self.schemas[self.by_code[code]]["properties"]).keys():
            raise TwoMeanings(f"{code} has {sorted(members)} in one place, and {sorted(known)} in another")
        return self.by_code[code]

    def _whole(self, description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        """With Problem's members written out: generators of clients lose a `const` that stands beside `allOf`."""
        base = self.schemas["Problem"]
        return {
            "type": "object",
            "description": description,
            "required": list(dict.fromkeys([*base["required"], *required])),
            "properties": base["properties"] | properties,
        }

    def _names(self, schema: dict[str, Any]) -> Iterator[str]:
        for each in schema.get("anyOf", [schema]):
            if "anyOf" in each:
                yield from self._names(each)
            elif "$ref" in each:
                yield each["$ref"].rpartition("/")[2]
            elif codes := _codes(each):
                members = {name: member for name, member in each["properties"].items() if name != "code"}
                yield from (self.name_of(code, members, each.get("required", [])) for code in codes)
            else:
                raise ValueError(f"a problem without a code: {each}")


def _codes(schema: dict[str, Any]) -> list[str]:
    """The codes that a schema made of Problem is for."""
    code = schema.get("properties", {}).get("code", {}) if BASE in schema.get("allOf", []) else {}
    return [code["const"]] if "const" in code else list(code.get("enum", []))
