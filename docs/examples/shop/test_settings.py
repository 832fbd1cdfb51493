"""The shop's settings on engines of the test run's own."""

from billing_site.testing import engines

engines.start()  # before the settings read where they are

from shop.settings import *  # noqa: E402, F403

from billing_site.testing.settings import *  # noqa: E402, F403  # isort: skip
