"""How calls are decided on, and what is kept of them."""

from billing_site.environment import Group
from billing_site.environment import patterns as like
from billing_site.variables.engines import PLACES

calls = Group("Calls and API keys")
WHEN_REDIS_IS_DOWN = calls.word(
    "WHEN_REDIS_IS_DOWN",
    "fallback",
    ("fallback", "refuse", "admit"),
    "Who decides without Redis: PostgreSQL; or all calls are refused; or all entitled ones are admitted"
    " ([reliability.md](reliability.md)).",
)
RETRY_AFTER_MOST = calls.number(
    "RETRY_AFTER_MOST", 3600, "Seconds; a longer wait is told in a 429's body alone, not in `Retry-After`."
)
API_KEY_PREFIX = calls.text(
    "API_KEY_PREFIX",
    like.KEY_PREFIX,
    "New keys begin with it, so that people and scanners of secrets know them. Keys made before stay valid.",
    default="mk_live_",
)
METERED_IDENTIFY = calls.text(
    "METERED_IDENTIFY",
    like.CALLABLE,
    "A callable of the host product that finds who calls, by a JWT for example: it takes the request and gives a user,"
    " an account's id, or None ([your-own-views.md](your-own-views.md)).",
)
MOST_API_KEYS = calls.number("MOST_API_KEYS", 50, "Live keys that an account may have by its own doing.", most=10_000)

log = Group("Usage log and outbox")
USAGE_LOG_MONTHS = log.number(
    "USAGE_LOG_MONTHS", 13, "Whole months of the usage log that are kept before the present one.", most=1200
)
USAGE_LOG_MONTHS_AHEAD = log.number(
    "USAGE_LOG_MONTHS_AHEAD", 3, "Months that tables are made for ahead; an event beyond them is set aside.", most=240
)
USAGE_LOG_EXPORTS = (
    log.folder("USAGE_LOG_EXPORTS", "Where months that left are exported to.", unset="`.local/usage-log`")
    or PLACES.local / "usage-log"
)
# Billing looks at a window again for 100 days after its end. Events are known for that long too, whatever the variable
# says: if it is raised, one that was counted and is sent again would be taken a second time.
LATE_EVENT_DAYS_MOST = 90
LATE_EVENT_DAYS = log.number(
    "LATE_EVENT_DAYS",
    35,
    "Days after which an event of `POST /usage/events` is too old ([events.md](events.md)).",
    most=LATE_EVENT_DAYS_MOST,
)
USAGE_LOG_DROP = log.flag("USAGE_LOG_DROP", False, "Tables of months that left are dropped, once exported, nightly.")
OUTBOX_LEASE_SECONDS = log.number(
    "OUTBOX_LEASE_SECONDS", 60, "Seconds that one call of a consumer of the outbox may take.", most=86_400
)
OUTBOX_KEPT_DAYS = log.number(
    "OUTBOX_KEPT_DAYS", 30, "Days that messages are kept that every consumer has got.", most=36_500
)
WEBHOOKS_KEPT_DAYS = log.number(
    "WEBHOOKS_KEPT_DAYS", 30, "Days that webhooks and their deliveries are kept.", most=36_500
)

agents = Group("The sandbox's agent")
AGENT_UPSTREAM_URL = agents.text(
    "AGENT_UPSTREAM_URL",
    like.UPSTREAM,
    "Who answers chats, in OpenAI's protocol ([agents.md](agents.md)).",
    unset="a small model of our own",
)
AGENT_UPSTREAM_KEY = agents.text("AGENT_UPSTREAM_KEY", like.TOKEN, "The key for it.")
AGENT_UPSTREAM_SECONDS = agents.number("AGENT_UPSTREAM_SECONDS", 60, "So long it may be silent.", most=120)
