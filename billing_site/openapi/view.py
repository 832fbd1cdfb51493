"""The OpenAPI document over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import conditional_page
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing_site.openapi.document import document

CACHED_SECONDS: Final = 300


class _RenderedOnce:
    """A renderer that keeps what it made of the document: writing it takes a hundred times what sending it does."""

    _kept: ClassVar[dict[type, tuple[object, bytes]]] = {}

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        kept = self._kept.get(type(self))
        if kept is None or kept[0] is not data:
            kept = self._kept[type(self)] = data, bytes(super().render(data, *args, **kwargs))  # type: ignore[misc]
        return kept[1]


RENDERERS = tuple(
    type(renderer.__name__, (_RenderedOnce, renderer), {})
    for renderer in (OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer2, OpenApiYamlRenderer)
)


class SchemaView(APIView):
    """The document as JSON (default) or YAML."""

    authentication_classes = ()
    schema = None
    renderer_classes = RENDERERS

    def get(self, request: Request) -> Response:
        return Response(document())


#: Clients keep a copy for some minutes and then ask whether it still holds (ETag, made before it is compressed).
schema_view = cache_control(public=True, max_age=CACHED_SECONDS)(gzip_page(conditional_page(SchemaView.as_view())))
