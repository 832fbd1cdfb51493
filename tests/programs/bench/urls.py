"""The site's paths, with one and the same small view bare, metered, and behind each peer."""

from django.urls import path

from billing_site.urls import handler400, handler403, handler404, handler500
from billing_site.urls import urlpatterns as site
from tests.programs.bench import views

METERED = "/api/v1/trace/start"
"""A path of the default catalogue, so the gateway meters it: 10 tokens a call."""

urlpatterns = [
    path(METERED[1:], views.plain),
    *(path(f"bench/{name}", view) for name, view in views.VIEWS.items()),
    *site,
]

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
