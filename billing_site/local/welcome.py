"""What `make run` prints once the site answers."""

from pathlib import Path
from typing import TYPE_CHECKING

from billing_site.local.preparation import STAFF

if TYPE_CHECKING:
    from billing_site.local.preparation import TestUser

PAGES = {
    "start": "/",
    "dashboard": "/dashboard/",
    "API": "/api/v1/plans",
    "API docs": "/api/docs",
    "admin": "/admin/",
    "mails": "/admin/billing/mailboxmessage/",
    "health": "/health",
    "metrics": "/metrics",
}
NOBODY_ADDED = (
    "  The database is your own: nobody was added to it.\n"
    "  `manage.py createsuperuser` makes a staff login, `manage.py create_test_users` a user with a key for each plan."
)


def welcome(base: str, password: str, users: "list[TestUser]", local: Path) -> str:
    """The text with the site's URLs, the logins and keys, and two curl lines that work as pasted."""
    lines = ["", "The site is up; Ctrl-C ends it.", ""]
    lines += [f"  {name:<10}{base}{path}" for name, path in PAGES.items()]
    lines += _logins(base, password, users) if users else ["", NOBODY_ADDED]
    return "\n".join([*lines, "", f"  logs: {local}/log"])


def _logins(base: str, password: str, users: "list[TestUser]") -> list[str]:
    width = max(len(user["username"]) for user in users)
    first = users[0]["api_key"]
    lines = ["", f"  staff login: {STAFF} / {password}    (the users below have the same password)", ""]
    lines += [f"  {user['username']:<{width}}  {user['plan']:<11} {user['api_key']}" for user in users]
    lines += [
        "",
        f"  curl -i -H 'Authorization: Bearer {first}' {base}/api/v1/usage/current",
        f"  curl -i -X POST -H 'Authorization: Bearer {first}' -H 'Content-Type: application/json' -d '{{}}' "
        f"{base}/api/v1/trace/start",
    ]
    return lines
