import pytest

from billing.models import Feature

pytest_plugins = ["billing_site.testing.fixtures"]


@pytest.fixture(autouse=True)
def features(catalogue: None) -> None:
    """What the shop sells."""
    for code, tokens in (("report", 40), ("quote", 5), ("search", 2)):
        Feature.objects.create(code=code, tokens=tokens)
