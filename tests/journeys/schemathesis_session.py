"""A hook of Schemathesis, which runs as a process of its own: each request goes by a browser's session."""

import json
import os
from typing import Any

import schemathesis

GIVEN = json.loads(os.environ["SESSION"])
"""`cookies` and `headers` of the session."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """In the place of what was made up for them; a made-up key would be refused before anything is read."""
    case.cookies = GIVEN["cookies"]
    case.headers.pop("Authorization", None)
    case.headers.update(GIVEN["headers"])
