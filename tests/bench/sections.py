"""Which sections there are, in the order of the report, and the module of each."""

SECTIONS = {
    "hot-path": "tests.bench.hot_path",
    "served": "tests.bench.served",
}
QUICK = ("hot-path",)
"""What `--quick` runs when no section is named."""
