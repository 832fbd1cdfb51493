"""What README.md and docs show to be typed: each command, and which test runs it, or why none does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
SHELLS: Final = ("sh", "bash", "shell", "console")
PROGRAMS: Final = re.compile(
    r"(\$ |sudo )?([A-Z][A-Z_]*=\S+ )*"
    r"(make|manage\.py|\./manage\.py|curl|[A-Z]+=\$\(|gunicorn|celery|npx|npm|python3?|pip|\.venv/|openapi-\w+|stripe|claude"
    r"|promtool|docker|systemctl|journalctl|useradd|install|pg_\w+|psql|createdb|apt-get|apt|export|git|nginx|caddy"
    r"|uvicorn|traefik|envoy)\b"
)
"""How a line of a block that names no language begins when it is to be typed."""


class Command(NamedTuple):
    page: str
    text: str


def documented() -> Iterator[Command]:
    """Of all pages; what goes on in the next line is one command."""
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]:
        page = str(path.relative_to(ROOT))
        for block, is_shell in _blocks(path.read_text()):
            for line in _logical(block):
                if is_shell or PROGRAMS.match(line):
                    yield Command(page, line)


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Each block of code, and whether it says that it is for a shell."""
    fenced = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    for language, block in fenced.findall(text):
        if language in SHELLS:
            yield block, True
        elif not language:
            yield block, False
    for block in re.findall(r"(?:^(?: {4}).*\n)+", fenced.sub("", text), re.MULTILINE):
        yield block, False


def _logical(block: str) -> Iterator[str]:
    whole = ""
    for line in block.splitlines():
        whole = f"{whole} {line.strip()}".strip()
        if not _goes_on(whole):
            if whole and not whole.startswith("#"):
                yield whole
            whole = ""
        else:
            whole = whole.removesuffix("\\")


def _goes_on(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return not line.startswith("#")
    return line.endswith(("\\", "|", "&&"))


FIRST_RUN: Final = "tests/billing_site/local/test_run.py::test_a_fresh_checkout_runs_serves_and_ends"
HERE: Final = "tests/journeys/test_documented_commands.py"
CLIENTS: Final = "tests/journeys/test_generated_clients.py"
EVENTS: Final = "tests/journeys/test_events.py::test_what_the_page_shows"
PROXIES: Final = "tests/journeys/forward_auth"
OBSERVE: Final = "tests/billing_site/operations/test_observe.py::test_the_rules_are_rules_and_do_what_they_should"
OWN_VIEWS: Final = "tests/journeys/test_your_own_views.py"
WEBHOOKS: Final = "tests/billing/webhooks/test_docs.py::test_the_documented_requests_do_what_it_says"

RUN_BY: Final = {
    ("README.md", "make run "): FIRST_RUN,
    ("README.md", "KEY=$("): f"{HERE}::test_a_first_call_beside_make_run",
    ("README.md", "curl -si"): f"{HERE}::test_a_first_call_beside_make_run",
    ("README.md", "curl -s "): f"{HERE}::test_a_first_call_beside_make_run",
    ("README.md", "manage.py migrate && manage.py seed_catalogue"): FIRST_RUN,
    ("README.md", "manage.py doctor"): "tests/billing_site/operations/test_doctor.py::test_one_line_a_part",
    ("README.md", "gunicorn"): "tests/journeys/test_restarts.py::test_reload_and_stop_fail_no_request",
    ("README.md", "celery --app billing_site worker"): FIRST_RUN,
    ("README.md", "celery --app billing_site beat"): FIRST_RUN,
    ("README.md", "manage.py drain_usage --follow"): FIRST_RUN,
    ("docs/agents.md", "curl -X POST $SITE/api/v1/usage/reservations "): f"{HERE}::test_a_reservation_and_its_end",
    ("docs/agents.md", "curl -X POST $SITE/api/v1/usage/reservations/$ID/settle"): (
        f"{HERE}::test_a_reservation_and_its_end"
    ),
    ("docs/agents.md", "curl -N"): f"{HERE}::test_a_chat_as_a_stream",
    ("docs/backup.md", ""): "tests/journeys/test_backup.py::test_everybody_stands_where_he_stood",
    ("docs/backup.md", "manage.py reconcile_usage --repair"): (
        "tests/journeys/test_backup.py::test_beside_the_redis_that_was_in_use"
    ),
    ("docs/clients.md", "openapi-python-client"): f"{CLIENTS}::test_what_is_used_and_a_charge",
    ("docs/clients.md", "npx openapi-typescript"): f"{CLIENTS}::test_typescript_narrows_by_code",
    ("docs/erasure.md", "manage.py erase_account USERNAME --dry-run"): (
        "tests/usage/management/test_erase_account.py::test_a_dry_run_says_what_it_would_meet"
    ),
    ("docs/erasure.md", "manage.py erase_account USERNAME "): (
        "tests/usage/management/test_erase_account.py::test_by_name_or_number"
    ),
    ("docs/events.md", "curl"): EVENTS,
    ("docs/integrations/README.md", "BILLING_SITE="): f"{PROXIES}/test_fastapi.py::test_served_refused_and_told",
    ("docs/integrations/README.md", "curl"): (
        f"{PROXIES}/test_proxies.py::test_a_call_is_charged_once_and_the_product_is_told_whose_it_is"
    ),
    ("docs/observe.md", "promtool"): OBSERVE,
    ("docs/upgrade.md", ""): "tests/journeys/test_upgrade.py::test_a_site_with_data_comes_to_the_new_schema",
    ("docs/upgrade.md", "manage.py doctor"): "tests/billing_site/operations/test_doctor.py::test_one_line_a_part",
    ("docs/upgrade.md", "make smoke"): "tests/journeys/test_smoke.py::test_it_reads_and_changes_nothing",
    ("docs/operate.md", ""): "tests/deploy/test_empty_server.py::test_from_an_empty_server_to_a_charged_call",
    ("docs/webhooks.md", "curl"): WEBHOOKS,
    ("docs/your-own-views.md", "export "): f"{OWN_VIEWS}::shop",
    ("docs/your-own-views.md", "python manage.py"): f"{OWN_VIEWS}::shop",
    ("docs/your-own-views.md", "python manage.py create_test_users"): f"{OWN_VIEWS}::keys",
    ("docs/your-own-views.md", "python -m pytest"): f"{OWN_VIEWS}::test_the_example_passes_its_own_tests",
    ("docs/your-own-views.md", "gunicorn"): f"{OWN_VIEWS}::served",
    ("docs/your-own-views.md", "curl"): f"{OWN_VIEWS}::test_the_pages_call",
}
"""Page and beginning of a command (the longest counts; "" is every other of the page) -> the test that runs it."""

PARTS: Final = "its parts are: tests/billing_site/local/test_card_demo.py, test_chain_demo.py"
NO_DOCKER: Final = "it needs a Docker daemon; the image's steps are run by tests/deploy/test_container.py"
NOT_RUN: Final = {
    ("README.md", "make test "): "it is the run that this test is a part of",
    ("README.md", "make test-long"): "it is this run, with more examples",
    ("README.md", "make coverage"): "it is this run, traced",
    ("README.md", "make run PAYMENTS=demo"): PARTS,
    ("README.md", "manage.py createsuperuser"): "Django's own, and it asks for a password",
    ("docs/agents.md", "claude mcp add"): "a program of somebody else's, which needs an account",
    ("docs/clients.md", "python -m pip install ./client"): "tests do not change the environment that they run in",
    ("docs/integrations/README.md", "pip install"): "the tests' own environment has them (requirements-dev.txt)",
    ("docs/operate.md", "export POSTGRES_PASSWORD"): NO_DOCKER,
    ("docs/operate.md", "docker"): NO_DOCKER,
    ("docs/payments-cards.md", "make run PAYMENTS=demo"): PARTS,
    ("docs/payments-cards.md", "stripe"): "a program of Stripe's, which needs an account there",
    (
        "docs/payments-cards.md",
        "STRIPE_SECRET_KEY=",
    ): "it needs an account at Stripe; tests have a server that stands in",
}
"""The same -> why no test runs it."""
