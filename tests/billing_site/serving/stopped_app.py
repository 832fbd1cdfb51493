"""An application whose server is told to stop while a worker loads it."""

from __future__ import annotations

import os
import signal

from tests.billing_site.serving.app import application

__all__ = ["application"]

os.kill(os.getpid(), signal.SIGTERM)  # as the server does, which is stopped as well
os.kill(os.getppid(), signal.SIGTERM)
