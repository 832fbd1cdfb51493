"""The bench's settings with the sandbox's view once more, where nothing meters it."""

from tests.bench.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.served_urls"
