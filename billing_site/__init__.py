"""How one request goes through: gateway, settings, Celery, embedded engines."""

from billing_site.celery import app as celery_app

__all__ = ["celery_app"]
