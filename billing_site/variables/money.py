"""How plans are billed, and how money comes in."""

from typing import Any

from billing_site.environment import Group
from billing_site.environment import patterns as like

billing = Group("Billing")
PRORATION_GRANULARITY: Any = billing.word(
    "PRORATION_GRANULARITY", "day", ("day", "second"), "What a change of plans in the middle of a period is counted in."
)
PRICES_INCLUDE_TAX = billing.flag(
    "PRICES_INCLUDE_TAX", False, "Tax is in the prices, or else comes on top of them, as a line of its own."
)
ISSUE_ZERO_INVOICES = billing.flag("ISSUE_ZERO_INVOICES", False, "Invoices on which every line is 0 are issued, too.")
LARGEST_INVOICE = billing.number(
    "LARGEST_INVOICE",
    10_000,
    "A larger invoice parks the account for staff. In US dollars, and about as much in other currencies.",
)
LARGEST_INVOICES = billing.numbers(
    "LARGEST_INVOICES", like.CURRENCY, "The same for currencies by their own, in major units."
)
MOST_INVOICES_A_DAY = billing.number("MOST_INVOICES_A_DAY", 50, "Of one account; more of them park it.")
LARGEST_CLOCK_SKEW_SECONDS = billing.number(
    "LARGEST_CLOCK_SKEW_SECONDS",
    5,
    "Between a machine's clock and PostgreSQL's; beyond it nothing is billed.",
    most=3600,
)
DUNNING_DAYS = [
    int(day)
    for day in billing.words(
        "DUNNING_DAYS",
        ["1", "3", "5", "7"],
        like.DAY,
        "A charge that failed is tried again on these days after it; then its invoice is past due.",
    )
]
PAST_DUE_GRACE_DAYS = billing.number(
    "PAST_DUE_GRACE_DAYS",
    7,
    "After so many days past due the default plan is served until the invoice is paid.",
    least=0,
    most=3650,
)

cards = Group("Cards")
STRIPE_SECRET_KEY = cards.text(
    "STRIPE_SECRET_KEY",
    like.TOKEN,
    "Stripe's secret key ([payments-cards.md](payments-cards.md)).",
    unset="cards are off, and nothing of them is shown",
)
STRIPE_WEBHOOK_SECRET = cards.text(
    "STRIPE_WEBHOOK_SECRET",
    like.TOKEN,
    "The signing secret of Stripe's endpoint `/payments/stripe/webhook`.",
    unset="what Stripe tells is refused",
)
STRIPE_API_BASE = cards.text("STRIPE_API_BASE", like.SITE, "A test server, in place of Stripe.")

chains = Group("Stablecoins")
CHAIN_XPUBS = chains.by_chain(
    "CHAIN_XPUBS",
    like.XPUB,
    "The extended public keys that deposit addresses are made of, never private ones"
    " ([payments-chains.md](payments-chains.md)).",
)
CHAIN_RPC_URLS = chains.by_chain(
    "CHAIN_RPC_URLS", like.RPC_URL, "Where a node answers the watcher, `manage.py watch_chain`."
)
