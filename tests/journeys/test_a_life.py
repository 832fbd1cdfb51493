"""A customer's life, over HTTP and through the admin: every document against numbers worked out by hand.

Prices are in euros and without tax. The seller is in Germany, where the rate is 19 %, and 20 % from 2033-05-01. Bob is
there too, and moves to France in July, where he owes the tax himself. Metered costs 40.00 a month and has 100 tokens a
period, then 50.00 for each 1,000; Annual costs 480.00 a year and Annual Plus 720.00. The years are to come, since
Redis expires keys by its own clock. `papers.read` reads this table.

INV-000001  2033-01-29  Metered                                           40.00  2033-01-29 2033-02-28
                        HALF: 50 % off                                   -20.00  2033-01-29 2033-02-28
                        VAT 19 %                                           3.80  2033-01-29 2033-02-28
                        = net 20.00, tax 3.80, gross 23.80, due 23.80
INV-000002  2033-02-03  Fifty: 50 tokens                                  10.00  2033-02-03 2033-02-03
                        VAT 19 %                                           1.90  2033-02-03 2033-02-03
                        = net 10.00, tax 1.90, gross 11.90, due 11.90

    Of 200 tokens used until the close 140 are included: 100 of the plan, 40 of the pack, which lapses with 10 left. Ten
    come late. The tax is 0.475.

INV-000003  2033-02-28  50 tokens above the quota at 50.00 per 1,000       2.50  2033-01-29 2033-02-28
                        VAT 19 %                                           0.48  2033-01-29 2033-02-28
                        = net 2.50, tax 0.48, gross 2.98, due 2.98
INV-000004  2033-02-28  Metered                                           40.00  2033-02-28 2033-03-29
                        HALF: 50 % off                                   -20.00  2033-02-28 2033-03-29
                        VAT 19 %                                           3.80  2033-02-28 2033-03-29
                        = net 20.00, tax 3.80, gross 23.80, due 23.80
INV-000005  2033-03-29  Late: 10 tokens above the quota of 2033-01-29 to 2033-02-28 at 50.00 per 1,000  0.50  2033-01-29 2033-02-28
                        VAT 19 %                                           0.10  2033-01-29 2033-02-28
                        = net 0.50, tax 0.10, gross 0.60, due 0.60
INV-000006  2033-03-29  Metered                                           40.00  2033-03-29 2033-04-29
                        VAT 19 %                                           7.60  2033-03-29 2033-04-29
                        = net 40.00, tax 7.60, gross 47.60, due 47.60
CN-000001   2033-04-10  outage                                            10.00
                        = net 10.00, tax 1.90, gross 11.90, due 11.90
INV-000007  2033-04-29  Metered                                           40.00  2033-04-29 2033-05-29
                        VAT 19 %                                           7.60  2033-04-29 2033-05-29
                        Balance from earlier credits                     -11.90  2033-04-29 2033-05-29
                        = net 40.00, tax 7.60, gross 47.60, due 35.70

    19 of 30 days are left: 40.00 x 19 / 30 = 25.333.. at 19 %. Annual is paid in full, at 20 %.

INV-000008  2033-05-10  Unused time on Metered                           -25.33  2033-05-10 2033-05-29
                        Annual                                           480.00  2033-05-10 2034-05-10
                        YEAR10: 10 % off                                 -48.00  2033-05-10 2034-05-10
                        VAT 19 %                                          -4.81  2033-05-10 2033-05-29
                        VAT 20 %                                          86.40  2033-05-10 2034-05-10
                        = net 406.67, tax 81.59, gross 488.26, due 488.26

    Of 120 tokens used before that 100 were included. The rest is billed once its window has ended, 31 days later.

INV-000009  2033-06-10  20 tokens above the quota at 50.00 per 1,000       1.00  2033-04-29 2033-05-10
                        VAT 20 %                                           0.20  2033-04-29 2033-05-10
                        = net 1.00, tax 0.20, gross 1.20, due 1.20

    273 of 365 days are left: 432.00 x 273 / 365 = 323.112.. at 20 %, 720.00 x 273 / 365 = 538.520.., of that 10 % off.

INV-000010  2033-08-10  Unused time on Annual                           -323.11  2033-08-10 2034-05-10
                        Remaining time on Annual Plus                    538.52  2033-08-10 2034-05-10
                        YEAR10: 10 % off                                 -53.85  2033-08-10 2034-05-10
                        VAT 20 %                                         -64.62  2033-08-10 2034-05-10
                        = net 161.56, tax -64.62, gross 96.94, due 96.94
INV-000011  2033-09-01  Fifty: 50 tokens                                  10.00  2033-09-01 2033-09-01
                        = net 10.00, tax 0.00, gross 10.00, due 10.00
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command

from billing.models import Invoice, Subscription
from billing.subscriptions import trials
from tests.billing.metered import assert_overage_explained
from tests.billing.staff import confirm, confirmation, page, text_of, told
from tests.clock import moved_by_hand
from tests.journeys.life import Life, open_shop
from tests.journeys.papers import BILLING, read
from tests.outages import no_redis
from usage.drain import drain

TABLE = read(str(__doc__))
IN_GERMANY = {"name": "Bob", "city": "Köln", "postcode": "50667", "country": "DE", "vat_id": "DE129274202"}
IN_FRANCE = {"name": "Bob", "city": "Paris", "postcode": "75008", "country": "FR", "vat_id": "FR40303265045"}


@pytest.fixture
def life(transactional_db: None) -> Iterator[Life]:
    with moved_by_hand("2033-01-02T09:00:00Z") as clock:
        call_command("seed_catalogue", verbosity=0)
        yield Life(clock, TABLE)


def test_a_life(life: Life, settings: Any) -> None:
    open_shop(life.staff)
    trial(life)
    pack_and_overage(life, settings)
    credit_note(life)
    to_a_year(life)
    to_france(life)
    end(life)
    assert not Invoice.objects.filter(account=life.bob.user).exclude(status="paid").exists()
    life.look_the_same("INV-000001", "CN-000001", "INV-000008")
    assert_overage_explained(life.bob.account)


def trial(life: Life) -> None:
    """Fourteen days for nothing, and no token above the quota; then the paid period at half its price."""
    life.clock.move_to("2033-01-15T10:00:00Z")
    assert life.subscription["plan"] == "community"
    life.put("details", IN_GERMANY)
    seen = life.post("calculate-proration", {"target_plan": "metered"})
    begun = life.post("upgrade", {"target_plan": "metered", "quoted_at": seen["at"]})
    assert begun["trial_ends_at"] == seen["trial_ends_at"] == "2033-01-29T10:00:00Z"
    assert (seen["amount_due"], begun["amount_due"], begun["invoice"]) == (0, 0, None)
    assert (life.call(11), life.usage) == (10, (100, 100, 0))
    life.clock.move_to("2033-01-26T10:00:00Z")
    assert trials.announce_ending(life.now) == 1
    redeemed = life.post("coupon", {"code": "half"})
    assert redeemed["next_invoice"] == {"discount": 20, "amount": 23.8, "currency": "EUR"}
    life.issued()
    life.renews("2033-01-29T10:00:00Z", "INV-000001")
    life.pay("INV-000001")


def pack_and_overage(life: Life, settings: Any) -> None:
    """A pack that lapses, tokens above the quota up to a cap that moves, and a call that the close does not know of."""
    life.clock.move_to("2033-02-03T12:00:00Z")
    assert life.post("token-packs/fifty", status=201)["active"] is False
    life.issued("INV-000002")
    assert life.usage == (0, 100, 0)
    life.clock.move_to("2033-02-05T12:00:00Z")
    life.pay("INV-000002")
    assert (life.call(4), life.usage) == (4, (40, 150, 0))
    life.clock.move_to("2033-02-15T11:59:59Z")
    assert life.usage == (40, 150, 0)
    life.clock.tick(1)
    assert life.usage == (40, 140, 0)
    life.clock.tick(3600)
    assert (life.call(10), life.usage) == (10, (140, 140, 0))
    assert life.put("overage", {"cap_tokens": 30})["cap_tokens"] == 30
    assert (life.call(4), life.usage) == (3, (170, 140, 30))
    assert life.put("overage", {"cap_tokens": 60})["cap_tokens"] == 60
    assert (life.call(2), life.usage) == (2, (190, 140, 50))
    drain.drain()
    assert life.subscription["overage"]["amount"] == 2.5
    life.clock.move_to("2033-02-28T09:59:58Z")
    assert (life.call(2), life.usage) == (1, (200, 140, 60))
    with no_redis(settings):
        life.renews("2033-02-28T10:00:00Z", "INV-000003", "INV-000004")
    drain.drain()
    life.pay("INV-000003")
    life.pay("INV-000004")
    life.renews("2033-03-29T10:00:00Z", "INV-000005", "INV-000006")
    life.pay("INV-000005")
    life.pay("INV-000006")


def credit_note(life: Life) -> None:
    """Staff give back a part of what was paid; the next invoice uses it."""
    life.clock.move_to("2033-04-10T12:00:00Z")
    invoice = Invoice.objects.get(number="INV-000006")
    address = f"billing/invoice/{invoice.pk}/credit/"
    assert "Up to 47.60 EUR can be credited" in text_of(life.staff.open(address))
    given = {"amount": "11.90", "reason": "outage", "seen": "47.60"}
    assert life.staff.send(address, **given).status_code == 302
    assert life.subscription["balance"] == 11.9
    life.issued("CN-000001")
    life.renews("2033-04-29T10:00:00Z", "INV-000007")
    life.pay("INV-000007")
    moved = life.bob.api.get(BILLING + "balance").json()["results"]
    assert [(row["amount"], row["invoice"], row["credit_note"]) for row in moved] == [
        (-11.9, "INV-000007", None),
        (11.9, None, "CN-000001"),
    ]


def to_a_year(life: Life) -> None:
    """A plan of another interval begins a period: its full price, less a coupon, less what is unused at its old tax."""
    life.clock.move_to("2033-05-05T12:00:00Z")
    assert (life.call(12), life.usage) == (12, (120, 100, 20))
    life.clock.move_to("2033-05-10T15:00:00Z")
    foreseen = life.post("calculate-proration", {"target_plan": "annual", "coupon": "YEAR10"})
    life.post("coupon", {"code": "YEAR10"})
    seen = life.post("calculate-proration", {"target_plan": "annual"})
    assert foreseen == seen
    done = life.post("upgrade", {"target_plan": "annual", "quoted_at": seen["at"]})
    assert (done["invoice"], done["current_period_end"]) == ("INV-000008", "2034-05-10T15:00:00Z")
    for name in ("prorated_amount", "tax", "amount_due"):
        assert done[name] == seen[name]
    assert (seen["prorated_amount"], seen["discount"], seen["amount_due"]) == (406.67, 48, 488.26)
    life.issued("INV-000008")
    life.pay("INV-000008")
    assert (life.call(), life.usage) == (1, (130, 5000, 0))
    life.clock.move_to("2033-06-10T15:00:00Z")
    life.beat()
    life.issued("INV-000009")
    life.pay("INV-000009")


def to_france(life: Life) -> None:
    """Bob moves; staff put him on a higher plan, whose tax he owes, and what he gets back bears its own tax."""
    life.clock.move_to("2033-07-01T12:00:00Z")
    life.put("details", IN_FRANCE)
    life.clock.move_to("2033-08-10T12:00:00Z")
    seen = life.post("calculate-proration", {"target_plan": "annual-plus"})
    subscription = Subscription.objects.live().get(account=life.bob.user)
    text = text_of(life.staff.open(f"{page(subscription, 'change_plan')}?target=annual-plus"))
    for amount in ("-323.11 EUR", "538.52 EUR", "-53.85 EUR", "-64.62 EUR", "96.94 EUR"):
        assert amount in text, amount
    assert (seen["prorated_amount"], seen["tax"], seen["amount_due"]) == (161.56, -64.62, 96.94)
    confirmed = told(confirm(life.staff, subscription, confirmation(text)))
    assert "Changed from Annual to Annual Plus: 161.56 EUR, invoice INV-000010." in confirmed
    life.issued("INV-000010")
    life.pay("INV-000010")
    life.clock.move_to("2033-09-01T12:00:00Z")
    life.post("token-packs/fifty", status=201)
    life.issued("INV-000011")
    life.pay("INV-000011")
    assert life.usage == (0, 5050, 0)


def end(life: Life) -> None:
    """Canceled, taken back, canceled again; the default plan follows, and after the last day nothing."""
    life.clock.move_to("2034-03-01T12:00:00Z")
    assert life.post("cancel", {"reason": "too dear"})["effective_date"] == "2034-05-10"
    assert life.subscription["next_invoice_amount"] == 0
    assert life.bob.api.delete(BILLING + "cancel").status_code == 204
    assert (life.subscription["cancel_at"], life.subscription["next_invoice_amount"]) == (None, 720)
    life.clock.move_to("2034-04-01T12:00:00Z")
    assert life.post("cancel", {"reason": "moved on"})["then"] == "community"
    assert life.subscription["cancel_at"] == "2034-05-10T15:00:00Z"
    life.renews("2034-05-10T15:00:00Z")
    ended = Subscription.objects.get(account=life.bob.user, status="canceled")
    assert (ended.plan.code, ended.cancel_reason) == ("annual-plus", "moved on")
    assert (life.subscription["plan"], life.usage, life.call()) == ("community", (0, 100, 0), 1)
    life.clock.move_to("2034-05-25T12:00:00Z")
    life.deactivate()
    assert life.bob.api.get(BILLING + "subscription").status_code == 401
    for instant in ("2034-06-10T15:00:00Z", "2034-07-10T15:00:00Z", "2035-07-10T15:00:00Z"):
        life.clock.move_to(instant)
        life.beat()
    assert not Subscription.objects.live().filter(account=life.bob.user).exists()
    life.adds_up()
