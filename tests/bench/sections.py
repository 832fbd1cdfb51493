"""Which sections there are, in the order of the report: the module of each, and the settings it runs on."""

SECTIONS = {
    "hot-path": "tests.bench.hot_path",
    "served": "tests.bench.served",
    "growth-accounts": "tests.bench.growth_accounts",
    "growth-log": "tests.bench.growth_log",
    "growth-limit": "tests.bench.growth_limit",
    "growth-plan": "tests.bench.growth_plan",
    "growth-cluster": "tests.bench.growth_cluster",
    "drain": "tests.bench.drain",
    "closing": "tests.bench.closing",
    "rebuild": "tests.bench.rebuild",
    "memory": "tests.bench.memory",
}
SETTINGS = {"hot-path": "tests.bench.peer_settings", "served": "tests.bench.served_settings"}
"""Other sections run on `tests.bench.settings`."""
PINNED = ("hot-path", "growth-limit", "growth-cluster")
"""Which keep to one core together with their engines, so that no figure holds the wait for an idle core to wake."""
QUICK = ("hot-path",)
"""What `--quick` runs when no section is named."""
