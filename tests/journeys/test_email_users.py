"""A host product whose users are named by their e-mail addresses: from an empty database to a charged call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import requests

from tests.hosts import Host, host
from tests.journeys.server import Server

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct-horse-9"
STAFF, PRO, STARTER = "boss@example.com", "pro_user@example.com", "starter_user@example.com"


@pytest.fixture(scope="module")
def product(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[Host]:
    with django_db_blocker.unblock(), host("email", "tests.email_users.settings") as made:  # type: ignore[attr-defined]
        made.manage("migrate", "--verbosity", "0")
        made.manage("seed_catalogue")
        made.variables["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
        made.manage("createsuperuser", "--noinput", "--email", STAFF)
        yield made


@pytest.fixture(scope="module")
def keys(product: Host) -> dict[str, str]:
    made = json.loads(product.manage("create_test_users", "--json", "--password", PASSWORD).stdout)
    return {user["username"]: user["api_key"] for user in made}


@pytest.fixture(scope="module")
def served(product: Host, keys: dict[str, str]) -> Iterator[Server]:
    with product.serving() as server:
        yield server


class Visitor:
    """Logged in by e-mail address and password, as a browser does it."""

    def __init__(self, server: Server, email: str) -> None:
        self.server, self.session = server, server.session()
        page = self.send("/accounts/login/", login=email, password=PASSWORD)
        assert page.status_code == 200 and "id_password" not in page.text, page.text[-2000:]

    def open(self, path: str) -> requests.Response:
        return self.session.get(f"{self.server.url}{path}", timeout=60)

    def send(self, path: str, **fields: object) -> requests.Response:
        form = self.open(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token, form.text[:500]
        given = {"csrfmiddlewaretoken": token[1], **fields}
        return self.session.post(f"{self.server.url}{path}", given, headers={"Referer": form.url}, timeout=60)


@pytest.fixture(scope="module")
def staff(served: Server) -> Visitor:
    return Visitor(served, STAFF)


def test_the_migrations_are_complete(product: Host) -> None:
    product.manage("makemigrations", "--check", "--dry-run")
    assert "no issues" in product.manage("check").stderr + product.manage("check").stdout


def used(served: Server, key: str) -> int:
    return int(served.session(key).get(f"{served.url}/api/v1/usage/current").json()["tokens_used"])


def call(served: Server, key: str) -> None:
    response = served.session(key).get(f"{served.url}/api/v1/trace/start", timeout=60)
    assert (response.status_code, response.headers["X-Usage-Cost"]) == (200, "10")


def test_a_call_is_charged(served: Server, keys: dict[str, str]) -> None:
    before = used(served, keys[PRO])
    call(served, keys[PRO])
    assert used(served, keys[PRO]) == before + 10


def test_a_customer_logs_in_and_sees_every_page(served: Server) -> None:
    visitor = Visitor(served, PRO)
    for page in ("", "usage/", "keys/", "billing/", "plans/", "members/", "settings/", "agents/", "activity/"):
        response = visitor.open(f"/dashboard/{page}")
        assert response.status_code == 200, page
    assert PRO in visitor.open("/dashboard/members/").text


def test_somebody_signs_up(served: Server) -> None:
    visitor = Visitor.__new__(Visitor)
    visitor.server, visitor.session = served, served.session()
    page = visitor.send("/accounts/signup/", email="new@example.com", password1=PASSWORD)
    assert page.status_code == 200 and visitor.open("/dashboard/").url.endswith("/dashboard/")


class TestAdmin:
    @pytest.mark.parametrize(
        "page",
        [
            *("people/person/", "people/person/?q=pro_user", "people/person/add/", "billing/subscription/?q=pro_user"),
            *("billing/apikey/?q=pro", "billing/invoice/?q=pro_user", "usage/usagelog/?q=pro_user@example.com", ""),
            *("billing/payment/", "billing/creditnote/", "billing/balanceentry/", "billing/erasure/?q=erased"),
            *("search/?s=pro_user", "billing/limitoverride/?q=pro", "billing/outboxmessage/", "account/emailaddress/"),
        ],
    )
    def test_its_lists_find_people(self, staff: Visitor, page: str) -> None:
        assert staff.open(f"/admin/{page}").status_code == 200

    def test_a_customers_page_with_all_that_can_be_done(self, staff: Visitor) -> None:
        page = staff.open("/admin/people/person/?q=pro_user").text
        number = re.search(r"/admin/people/person/(\d+)/change/", page)
        assert number, "the list leads to the customer"
        own = f"/admin/people/person/{number[1]}/"
        shown = staff.open(f"{own}change/")
        assert shown.status_code == 200 and PRO in shown.text
        for action in ("edit", "start", "receive_money", "deactivate", "erase", "history", "password"):
            assert staff.open(f"{own}{action}/").status_code == 200, action
        parts = set(re.findall(rf"{own}part/(\w+)/", staff.open(f"{own}change/").text))
        assert parts
        for part in parts:
            assert staff.open(f"{own}part/{part}/").status_code == 200, part

    def test_staff_add_somebody(self, staff: Visitor) -> None:
        done = staff.send(
            "/admin/people/person/add/",
            email="added@example.com",
            password1=PASSWORD,
            password2=PASSWORD,
            usable_password="true",
        )
        assert done.status_code == 200
        assert "added@example.com" in staff.open("/admin/people/person/?q=added").text


def test_commands_take_the_address_for_a_name(product: Host, served: Server, keys: dict[str, str]) -> None:
    call(served, keys[STARTER])
    product.manage("reset_usage", STARTER, "--reason", "tried")
    product.manage("reconcile_usage")
    assert "dry run" in product.manage("erase_account", STARTER, "--dry-run").stdout
    product.manage("erase_account", STARTER, "--yes", "--yes-open-invoices")
    assert served.session(keys[STARTER]).get(f"{served.url}/api/v1/usage/current").status_code == 401
    assert "there is no user" in product.manage("erase_account", STARTER, "--dry-run", check=False).stderr
