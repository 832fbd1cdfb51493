"""A deployment is told who reads no mail, and what is open to everybody."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Tags, run_checks

from tests.billing_site.operations.checks.said import ids


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"METRICS_TOKEN": ""}, ["billing_site.W003"]),
        ({"SANDBOX": True}, ["billing_site.W004"]),
        ({"BEHIND_PROXY": False}, ["billing_site.W005"]),
        ({"BEHIND_PROXY": False, "CLIENT_ADDRESS_HEADER": ""}, ["billing_site.W005"]),
        ({"CLIENT_ADDRESS_HEADER": ""}, ["billing_site.W006"]),
        ({"EMAIL_BACKEND": "billing.mails.mailbox.Mailbox"}, ["billing_site.W007"]),
        ({"SITE_URL": "http://localhost:8000"}, ["billing_site.W007"]),
        ({"DEFAULT_FROM_EMAIL": "Us <us@localhost>"}, ["billing_site.W007"]),
    ],
)
def test_a_deployment_is_warned_of_what_is_open(settings: Any, changed: dict[str, Any], expected: list[str]) -> None:
    closed = {"METRICS_TOKEN": "t", "SANDBOX": False, "BEHIND_PROXY": True, "CLIENT_ADDRESS_HEADER": "X-Real-IP"}
    closed |= {"EMAIL_BACKEND": "a.Backend", "DEFAULT_FROM_EMAIL": "us@a.example", "SITE_URL": "https://a.example"}
    for name, value in (closed | changed).items():
        setattr(settings, name, value)
    found = run_checks(tags=[Tags.security], include_deployment_checks=True)
    assert ids([message for message in found if str(message.id).startswith("billing_site")]) == expected
