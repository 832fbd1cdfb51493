"""Which sections there are, in the order of the report: the module of each, and the settings it runs on."""

SECTIONS = {
    "hot-path": "tests.bench.hot_path",
    "served": "tests.bench.served",
}
SETTINGS = {"hot-path": "tests.bench.peer_settings", "served": "tests.bench.served_settings"}
"""Other sections run on `tests.bench.settings`."""
PINNED = ("hot-path",)
"""Which keep to one core together with their engines, so that no figure holds the wait for an idle core to wake."""
QUICK = ("hot-path",)
"""What `--quick` runs when no section is named."""
