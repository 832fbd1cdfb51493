"""The WSGI entry point."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")

application = get_wsgi_application()

from billing_site.operations.checks.start import at_start  # noqa: E402  # the apps are loaded only now

at_start()
# All that is loaded by now lives as long as the process. Looking through it for garbage would halt every thread of the
# server for a tenth of a second, again and again.
gc.collect()
gc.freeze()
