"""The pure rules import in a bare interpreter, so they can be read, tested and trusted without a framework."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PURE_MODULES = [
    *(
        ".".join(file.relative_to(PROJECT_ROOT).with_suffix("").parts)
        for file in sorted((PROJECT_ROOT / "billing" / "rules").rglob("[a-z]*.py"))
    ),
    "ratelimit.limits",
    "ratelimit.headers",
    "usage.metering.quota",
    "usage.log.events",
    "usage.reconciliation.drift",
]
IMPORT_AND_LIST_FORBIDDEN = """
import sys
sys.path.insert(0, sys.argv[1])
__import__(sys.argv[2])
forbidden = {"django", "redis", "celery", "rest_framework", "psycopg", "django_redis"}
print(*sorted(forbidden & {name.partition(".")[0] for name in sys.modules}))
"""


# Without site-packages an import that is needed fails; with them one that is merely tried would show.
@pytest.mark.parametrize("flags", [["-I", "-S"], ["-I"]], ids=["bare", "installed"])
@pytest.mark.parametrize("module", PURE_MODULES)
def test_pure_module_imports_without_a_framework(module: str, flags: list[str]) -> None:
    command = [sys.executable, *flags, "-c", IMPORT_AND_LIST_FORBIDDEN, str(PROJECT_ROOT), module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
