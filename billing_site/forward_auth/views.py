"""/api/v1/usage/authorize: decides and charges the request that a proxy describes, as the gateway does its own."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urljoin

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema

from billing.http import problems
from billing.http.access import Access
from billing.http.json import ExactJSONEncoder
from billing.http.problems import MEDIA_TYPE
from billing.http.views import ApiView
from billing_site.forward_auth import browsers, described, documented, proxies
from billing_site.gateway import admit_by
from billing_site.request import refusals
from usage.api.contract import admission_of

UNTRUSTED: Final = "This address is not among the proxies that are believed (TRUSTED_PROXIES)."
LINKS: Final = ("type", "upgrade_url")


def tell(request: HttpRequest, problem: dict[str, Any]) -> HttpResponse:
    """The response that a proxy hands to its client, whose pages are elsewhere: JSON, with whole links."""
    told = {name: urljoin(settings.SITE_URL, text) if name in LINKS else text for name, text in problem.items()}
    text = ExactJSONEncoder().encode(told)
    response = HttpResponse(text, status=problem["status"], content_type=MEDIA_TYPE)
    if _is_for_nginx(request):  # it knows 401 and 403 only, and drops the body
        response["X-Refusal-Status"], response["X-Refusal-Body"] = str(problem["status"]), text
        response.status_code = 401 if problem["status"] == 401 else 403
    return response


class Authorize(ApiView):
    """Decide on a request for the proxy that has it, and charge it: for products that are not behind this site.

    The proxy describes it by `X-Original-Method` and `X-Original-URI` (nginx), `X-Forwarded-Method` and
    `X-Forwarded-Uri` (Caddy, Traefik), or by its own method and the path behind this one (Envoy). The caller is who
    the request's API key says; a browser's session does not count. Any method; the body is not looked at.
    """

    access = Access(ungated=True, problem_response=tell)
    documented_paths = (described.PREFIX,)

    def dispatch(self, request: HttpRequest, *_: Any, behind: str = "", **__: Any) -> HttpResponse:
        """Any method, without REST framework: it would refuse what the product's clients accept or send."""
        if not proxies.is_trusted(request):
            return problems.respond(request, 403, "forbidden", UNTRUSTED)
        try:
            asked = described.read(request, behind)
        except described.NotDescribed as error:
            return refusals.invalid_header(request, error.header, str(error))
        if settings.AUTHORIZE_PREFLIGHTS and _is_preflight(request, asked):
            return _let_through("", "")
        browsers.forget_cookies(request)
        if browsers.sends_by_itself(request):
            return refusals.unauthenticated(request, "scheme")
        refusal = admit_by(request, lambda catalogue: asked.charge_of(request, catalogue))
        if refusal is not None:
            return refusal
        admission = admission_of(request)
        return _let_through(str(admission.caller.account), admission.snapshot.entitlement.plan.code)

    @extend_schema("authorizeUsage", **documented.OPERATION)
    def get(self) -> None:
        """As `dispatch` answers."""

    @extend_schema("authorizeUsageByPost", **documented.OPERATION)
    def post(self) -> None:
        """As `dispatch` answers."""


def _is_for_nginx(request: HttpRequest) -> bool:
    """The proxy's configuration says it in the query, which is the client's where the path is."""
    match = request.resolver_match
    behind = match.kwargs.get("behind") or "" if match is not None else ""
    return request.GET.get("as") == "nginx" and not described.is_by_path(request, behind)


def _is_preflight(request: HttpRequest, asked: described.Described) -> bool:
    """Browsers ask without the key whether they may send it."""
    asks = "HTTP_ORIGIN" in request.META and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
    return asks and asked.methods == ("OPTIONS",) and "HTTP_AUTHORIZATION" not in request.META


def _let_through(account: str, plan: str) -> HttpResponse:
    """Each of these is there, if empty: a proxy writes it over what the client has sent under that name."""
    return HttpResponse(headers={"X-Account-Id": account, "X-Plan": plan, "X-Usage-Event": ""})
