"""Which sections there are, in the order of the report: the module of each, and the settings it runs on."""

SECTIONS = {
    "hot-path": "tests.programs.bench.hot_path",
    "hot-path-away": "tests.programs.bench.hot_path_away",
    "served": "tests.programs.bench.served",
    "whole-cost": "tests.programs.bench.whole_cost",
    "growth-accounts": "tests.programs.bench.growth_accounts",
    "growth-log": "tests.programs.bench.growth_log",
    "growth-pages": "tests.programs.bench.growth_pages",
    "growth-limit": "tests.programs.bench.growth_limit",
    "growth-plan": "tests.programs.bench.growth_plan",
    "growth-cluster": "tests.programs.bench.growth_cluster",
    "dashboard": "tests.programs.bench.dashboard",
    "reservations": "tests.programs.bench.reservations",
    "events-in": "tests.programs.bench.events_in",
    "drain": "tests.programs.bench.drain",
    "closing": "tests.programs.bench.closing",
    "rebuild": "tests.programs.bench.rebuild",
    "idle": "tests.programs.bench.idle",
    "memory": "tests.programs.bench.memory",
}
SETTINGS = {
    "hot-path": "tests.programs.bench.peer_settings",
    "hot-path-away": "tests.programs.bench.peer_settings",
    "reservations": "tests.programs.bench.peer_settings",
    "served": "tests.programs.bench.served_settings",
    "whole-cost": "tests.programs.bench.served_settings",
}
"""Other sections run on `tests.programs.bench.settings`."""
PINNED = ("hot-path", "growth-accounts", "growth-limit", "growth-plan", "growth-cluster", "reservations")
"""Which keep to one core together with their engines, so that no figure holds the wait for an idle core to wake."""
AWAY_US = {"hot-path-away": 120}
"""How far Redis is, in microseconds each way, besides what the process in between takes: the raw round trip says it."""
QUICK = ("hot-path",)
"""What `--quick` runs when no section is named."""
