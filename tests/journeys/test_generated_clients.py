"""Clients that generators make of the served document, used by their types: the programs of docs/clients.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.models import Plan
from tests.cast import Customer
from tests.journeys.server import CHECKOUT, Server

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (CHECKOUT / "docs" / "clients.md").read_text()
TYPESCRIPT = CHECKOUT / "tests" / "servers" / "typescript"
SECONDS = 180


def program(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def line(beginning: str) -> str:
    (found,) = re.findall(rf"^    ({re.escape(beginning)}.*)$", PAGE, re.MULTILINE)
    return str(found)


def run(command: list[str] | str, folder: Path, **variables: str) -> str:
    """What it shows; a text is a line for the shell."""
    beside = Path(sys.executable).parent
    told = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=os.environ | {"PATH": f"{beside}:{os.environ['PATH']}", "NO_PROXY": "*"} | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout + told.stderr


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, gunicorn: Server) -> Path:
    """A folder with the generated package, made of the served document without any warning."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "docs").symlink_to(CHECKOUT / "docs")
    told = run(line("openapi-python-client generate"), folder, BASE=gunicorn.url)
    assert "warning" not in told.lower().replace("--fail-on-warning", ""), told
    (folder / "program.py").write_text(program("python"))
    return folder


def ask(client: Path, server: Server, customer: Customer) -> list[str]:
    variables = {"BASE": server.url, "KEY": customer.key, "PYTHONPATH": str(client / "client")}
    return run([sys.executable, "program.py"], client, **variables).splitlines()


class TestPython:
    def test_the_program_fits_the_types(self, client: Path) -> None:
        mypy = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file",
            os.devnull,
            "--follow-imports=silent",
            "program.py",
        ]
        assert "Success" in run(mypy, client, MYPYPATH=str(client / "client"))

    def test_what_is_used_and_a_charge(self, client: Path, server: Server, alice: Customer) -> None:
        assert ask(client, server, alice) == ["community 0 100", "cost 10 left 90"]

    def test_what_is_unlimited(self, client: Path, server: Server, carol: Customer) -> None:
        assert ask(client, server, carol) == ["pro 0 unlimited", "cost 10 left unlimited"]

    def test_a_429_of_the_quota(self, client: Path, server: Server, alice: Customer) -> None:
        for _ in range(5):
            assert alice.post("/api/v1/usage/track", {"feature": "trace_start"}).status_code == 200
            assert alice.post("/api/v1/usage/track", {"feature": "trace_expand"}).status_code in (200, 429)
        Plan.objects.filter(code="community").update(monthly_token_quota=60, requests_per_minute=1000)
        first, second = ask(client, server, alice)
        assert first.startswith("community 75 ")
        assert re.fullmatch(r"no tokens until \d{4}-\d\d-\d\d try starter", second)

    def test_a_429_of_the_minute(self, client: Path, server: Server, customer: Callable[..., Customer]) -> None:
        alice = customer("alice", "community")
        for _ in range(9):
            assert alice.api.get("/api/v1/usage/current").status_code == 200
        used, refused = ask(client, server, alice)
        assert used == "community 0 100"
        assert re.fullmatch(r"wait [1-6]?\d", refused)

    def test_plans_and_keys(self, client: Path, server: Server, customer: Callable[..., Customer]) -> None:
        """What the program of the page does not show: lists, a body with optional members, 403 and 404."""
        (client / "more.py").write_text(
            "import os\n"
            "from metered_api_client import AuthenticatedClient, Client\n"
            "from metered_api_client.api.keys import create_key, list_keys, revoke_key\n"
            "from metered_api_client.api.plans import get_plan, list_plans\n"
            "from metered_api_client.models import Forbidden, NewKeyRequest, NotFound, Plan\n"
            "from metered_api_client.types import UNSET\n"
            "base, key = os.environ['BASE'], os.environ['KEY']\n"
            "print([plan.code for plan in list_plans.sync(client=Client(base_url=base)).results])\n"
            "print(type(get_plan.sync('nothing', client=Client(base_url=base))) is NotFound)\n"
            "client = AuthenticatedClient(base_url=base, token=key)\n"
            "new = create_key.sync(client=client, body=NewKeyRequest(name='second'))\n"
            "names = [each.name for each in list_keys.sync(client=client).results]\n"
            "print(new.key.startswith('mk_live_'), sorted(names))\n"
            "print(revoke_key.sync_detailed(new.id, client=client).status_code.value)\n"
            "other = AuthenticatedClient(base_url=base, token=new.key)\n"
            "print(list_keys.sync(client=other).reason.value)\n"
        )
        gina = customer("gina", "pro", "manage")
        variables = {"BASE": server.url, "KEY": gina.key, "PYTHONPATH": str(client / "client")}
        shown = run([sys.executable, "more.py"], client, **variables).splitlines()
        plans = "['community', 'starter', 'pro', 'business', 'plus', 'enterprise']"
        assert shown == [plans, "True", "True [\"gina's key\", 'second']", "204", "revoked"]


def test_typescript_narrows_by_code(server: Server, tmp_path: Path) -> None:
    if not (TYPESCRIPT / "node_modules" / ".bin" / "openapi-typescript").exists():
        pytest.skip("openapi-typescript is missing: run `npm ci --ignore-scripts` in tests/servers/typescript")
    (tmp_path / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    (tmp_path / "package.json").write_text("{}")
    run(line("npx openapi-typescript"), tmp_path, BASE=server.url)
    (tmp_path / "program.ts").write_text(program("typescript"))
    checked = "npx tsc --strict --noEmit --target es2022 --module nodenext --moduleResolution nodenext"
    run(f"{checked} program.ts", tmp_path)
    wrong = program("typescript").replace("refused.resets_at}, try", "refused.limit}, try")
    (tmp_path / "wrong.ts").write_text(wrong)
    with pytest.raises(AssertionError, match="'limit' does not exist"):
        run(f"{checked} wrong.ts", tmp_path)
