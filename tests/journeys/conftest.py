"""Journeys go over real HTTP."""

from tests.journeys.server import gunicorn, server

__all__ = ["gunicorn", "server"]
