"""The ASGI entry point."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")

application = get_asgi_application()

from billing_site.operations.checks.start import at_start  # noqa: E402  # the apps are loaded only now

at_start()
