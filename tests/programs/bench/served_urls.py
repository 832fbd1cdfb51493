"""The site's paths, and the sandbox's view outside of everything that is metered."""

from django.urls import path

from billing_site.sandbox import SandboxView
from billing_site.urls import handler400, handler403, handler404, handler500
from billing_site.urls import urlpatterns as site

urlpatterns = [path("unmetered", SandboxView.as_view()), *site]

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
