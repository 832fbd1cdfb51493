"""docs/observe: the dashboard and the alerts name metrics that exist, alerts say what to do, and promtool agrees."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone

from billing.models import Chain
from ratelimit.limits import Outcome
from tests.billing_site.operations.test_metrics import names
from tests.cast import Customer
from tests.journeys.server import CHECKOUT
from usage.reconciliation import reconcile

OBSERVE = CHECKOUT / "docs" / "observe"
PROMTOOL = shutil.which("promtool")
NAME = re.compile(r"\bmetered_\w+")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian's package prometheus)")


@pytest.fixture
def known(bob: Customer, settings: Any) -> set[str]:
    """Every name that /metrics has where cards and chains are on, and usage was compared."""
    settings.STRIPE_SECRET_KEY, settings.CHAIN_XPUBS = "sk_test_x", {"1": "xpub"}
    Chain.objects.create(
        chain_id=1, name="Ethereum", genesis_hash="0x1", head_number=9, cursor_number=4, cursor_hash="0x2"
    )
    bob.api.get("/api/v1/usage/current")
    reconcile.reconcile(timezone.now(), lambda _: None, repairing=False)
    return {name for name in names() if not name.endswith("_created")}


def promtool(*arguments: str, folder: Path = OBSERVE) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OBSERVE / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OBSERVE / "dashboard.json").read_text())
    return found


def queries() -> list[str]:
    panels = (panel for panel in dashboard()["panels"] if panel["type"] != "row")
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.django_db
def test_what_is_named_exists_and_what_exists_is_explained(known: set[str]) -> None:
    base = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in known}
    for text in (*queries(), *(rule["expr"] for rule in rules())):
        assert {name for name in NAME.findall(text) if name not in known} == set(), text
    page = (CHECKOUT / "docs" / "observe.md").read_text()
    assert set(NAME.findall(page)) == base
    assert {f"`{outcome.name.lower()}`" for outcome in Outcome} <= set(re.findall(r"`\w+`", page))
    drawn = {name.removesuffix("_bucket") for query in queries() for name in NAME.findall(query)}
    assert base - drawn == {"metered_fallback_since_timestamp_seconds"}


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        for path in re.findall(r"docs/[\w-]+\.md", rule["annotations"]["action"]):
            assert (CHECKOUT / path).is_file(), path
    commands = {path.stem for path in CHECKOUT.glob("*/management/commands/*.py")} | {"sendtestemail"}
    named = {name for rule in rules() for name in re.findall(r"manage\.py (\w+)", rule["annotations"]["action"])}
    assert named and named <= commands


def test_each_alert_is_tested() -> None:
    tested = (OBSERVE / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in rules() if f'alertname="{rule["alert"]}"' not in tested] == []


def test_the_dashboards_panels_lie_beside_each_other() -> None:
    panels, taken = dashboard()["panels"], set[tuple[int, int]]()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@needs_promtool
def test_the_rules_are_rules_and_do_what_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


@needs_promtool
def test_the_dashboards_queries_are_queries(tmp_path: Path) -> None:
    given = [query.replace("$__rate_interval", "5m").replace("$job", "metered") for query in queries()]
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(given)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    assert f"{len(given)} rules found" in promtool("check", "rules", "panels.yml", folder=tmp_path)
