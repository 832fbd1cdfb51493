"""The bench's settings with the sandbox's view once more, where nothing meters it."""

from tests.programs.bench.settings import *  # noqa: F403

ROOT_URLCONF = "tests.programs.bench.served_urls"
