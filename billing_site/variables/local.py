"""What only `make run` reads, when it starts."""

from billing_site.environment import Group

local = Group("`make run`")
local.elsewhere("HOST", "127.0.0.1", "an address of this machine", "Where the site listens.")
local.elsewhere("PORT", "8000", "a number from 1 to 65535", "The port where the site listens.")
local.elsewhere(
    "LOCAL_DIR",
    "",
    "the path of a folder",
    "Data, logs and passwords of what `make run` starts, and beat's schedule.",
    unset="`.local` in the checkout",
)
local.elsewhere(
    "PAYMENTS", "", "demo, or nothing", "Brings test servers of card and chain along ([payments.md](payments.md))."
)
