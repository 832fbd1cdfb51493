"""The site's own tools for agents. Each app's module of this name is imported with the URLs, as this one is."""

from django.conf import settings

from billing_site.mcp import meter_tools, own_tools

__all__ = ["meter_tools", "own_tools"]

if settings.SANDBOX:
    from billing_site.mcp import sandbox_tools

    __all__ += ["sandbox_tools"]
