"""Every path of the site."""

from __future__ import annotations

from typing import Any

from allauth.account.views import LoginView
from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.utils.module_loading import autodiscover_modules
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound

from billing.http.access import NOTHING_HERE
from billing.http.views import ApiView
from billing_site import sandbox
from billing_site.agent.views import AgentView
from billing_site.dashboard import languages
from billing_site.forward_auth.views import Authorize
from billing_site.mcp.views import Mcp
from billing_site.openapi.errors import errors
from billing_site.openapi.start import start
from billing_site.openapi.view import schema_view
from billing_site.operations import views as operations
from billing_site.pages import errors as error_pages
from billing_site.pages.home import home
from billing_site.pages.index import Index
from billing_site.provider_webhook import webhook
from billing_site.request.log_in import says_when_to_come_again, takes_username


class NoSuchPath(ApiView):
    """Any other path of the API."""

    access = NOTHING_HERE
    schema = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super(ApiView, self).initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this path; /api/docs shows what there is.")


autodiscover_modules("mcp_tools")  # of each app, what it offers to agents
handler400, handler403, handler404, handler500 = map(error_pages.handler, (400, 403, 404, 500))
handler429 = error_pages.too_many_tries

api: list[URLPattern | URLResolver] = []
if settings.SANDBOX:
    # First, as a product's own paths are best: nearly every call goes there, and pays for each pattern before them.
    # Below the agent's path, too: clients of chats are given a base URL, and add the rest by themselves.
    api.append(re_path(rf"^{sandbox.AGENT_PATH}(?:/chat/completions)?/?$", AgentView.as_view(), name="agent"))
    api.append(re_path(rf"^(?:{'|'.join(sandbox.PATHS)})(?:/.*)?$", sandbox.SandboxView.as_view(), name="sandbox"))
api += [
    path("", Index.as_view(), name="index"),
    path("", include("billing.api.urls")),
    re_path(r"^usage/authorize(?P<behind>/.*)?$", Authorize.as_view(), name="usage-authorize"),
    path("usage/", include("usage.api.urls")),
    re_path(r"^mcp/?$", Mcp.as_view(), name="mcp"),
]
api.append(re_path(r"", NoSuchPath.as_view()))

SHOWN = {"sign_up": lambda: settings.SIGN_UP}
log_in = says_when_to_come_again(takes_username(LoginView.as_view(extra_context=SHOWN)))
urlpatterns = [
    re_path(r"^api/v1$", Index.as_view()),
    path("api/v1/", include(api)),
    re_path(r"^api/schema/?$", schema_view, name="schema"),
    re_path(r"^api/docs/?$", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"^api/docs/errors/?$", errors, name="errors"),
    re_path(r"^api/docs/start/?$", start, name="start"),
    re_path(r"^api/auth/login/?$", log_in),  # one page behind each door
    path("api/auth/", include("rest_framework.urls")),
    re_path(r"^health/?$", operations.health),
    re_path(r"^metrics/?$", operations.prometheus),
    re_path(r"^payments/(?P<provider>[a-z]{1,20})/webhook/?$", webhook),
    path("admin", RedirectView.as_view(pattern_name="admin:index", query_string=True)),
    path("admin/login/", log_in),
    path("accounts/login/", log_in),
    path("accounts/language/", languages.choose, name="set_language"),
    path("accounts/", include("allauth.urls")),
    path("dashboard", RedirectView.as_view(pattern_name="dashboard", query_string=True)),
    path("dashboard/", include("billing_site.dashboard.urls")),
    path("", home, name="home"),
    path("admin/", admin.site.urls),
]
