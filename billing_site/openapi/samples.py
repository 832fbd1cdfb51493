"""A sample of each operation in curl, Python and JavaScript, made of what the OpenAPI document says of it.

Samples read the site's address and the key from the environment (BASE, KEY), so that each runs as it stands.
"""

from __future__ import annotations

import json
import pprint
import re
import shlex
from dataclasses import dataclass
from typing import Any, Final

from billing.http.json import ExactJSONEncoder

EXTENSION: Final = "x-codeSamples"
IDS: Final = {"number": "INV-000042", "code": "pro", "id": "7"}
"""What stands for a variable of a path that is no number and no UUID."""
UUID: Final = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"
WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a sample makes."""

    method: str
    path: str
    needs_key: bool = True
    body: Any = None
    gets_file: bool = False


def with_samples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: give each operation its samples."""
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            operation[EXTENSION] = samples_of(_call(path, method, operation))
    return result


def samples_of(call: Call) -> list[dict[str, str]]:
    made = (("Shell", "curl", curl), ("Python", "Python", python), ("JavaScript", "JavaScript", javascript))
    return [{"lang": lang, "label": label, "source": source(call)} for lang, label, source in made]


def curl(call: Call) -> str:
    """Quotes the address in double quotes, since the shell has to fill in BASE."""
    lines = [f'curl "$BASE{call.path}"']
    if call.method not in ("GET", "POST") or (call.method == "POST" and call.body is None):
        lines[0] = f'curl -X {call.method} "$BASE{call.path}"'
    if call.needs_key:
        lines.append('-H "Authorization: Bearer $KEY"')
    if call.body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d {shlex.quote(json.dumps(call.body, ensure_ascii=False))}"]
    if call.gets_file:
        lines.append("-o document.pdf")
    return " \\\n  ".join(lines)


def python(call: Call) -> str:
    """With the library that most have: requests."""
    arguments = [f'os.environ["BASE"] + "{call.path}",']
    if call.needs_key:
        arguments.append('headers={"Authorization": "Bearer " + os.environ["KEY"]},')
    if call.body is not None:
        shown = pprint.pformat(call.body, width=WIDTH, sort_dicts=False)
        arguments.append(f"json={shown},".replace("\n", "\n    "))
    inside = "".join(f"    {argument}\n" for argument in arguments)
    shown = "len(response.content)" if call.gets_file else "response.text"
    return (
        "import os\n\nimport requests\n\n"
        f"response = requests.{call.method.lower()}(\n{inside})\n"
        f"print(response.status_code, {shown})"
    )


def javascript(call: Call) -> str:
    """`fetch`, as servers have it: a key does not belong into a page."""
    headers = ["Authorization: `Bearer ${process.env.KEY}`"] * call.needs_key
    options = [f'method: "{call.method}"'] * (call.method != "GET")
    if call.body is not None:
        headers.append('"Content-Type": "application/json"')
    if headers:
        options.append(f"headers: {{ {', '.join(headers)} }}")
    if call.body is not None:
        shown = json.dumps(call.body, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        options.append(f"body: JSON.stringify({shown})")
    inside = "".join(f"  {option},\n" for option in options)
    given = f", {{\n{inside}}}" if options else ""
    shown = "(await response.arrayBuffer()).byteLength" if call.gets_file else "await response.text()"
    return (
        f"const response = await fetch(`${{process.env.BASE}}{call.path}`{given});\n"
        f"console.log(response.status, {shown});"
    )


def _call(path: str, method: str, operation: dict[str, Any]) -> Call:
    given = {each["name"]: each for each in operation.get("parameters", []) if each["in"] == "path"}
    filled = re.sub(r"\{(\w+)\}", lambda variable: _value(given[variable[1]]), path)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    example: Any = next((each["value"] for each in content.get("examples", {}).values()), content.get("example"))
    plain = None if example is None else json.loads(ExactJSONEncoder().encode(example))  # times and money as sent
    files = any("application/pdf" in response.get("content", {}) for response in operation["responses"].values())
    return Call(method.upper(), filled, {} not in operation["security"], plain, files)


def _value(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    if schema.get("format") == "uuid":
        return UUID
    return "7" if schema.get("type") == "integer" else IDS.get(parameter["name"], "1")
