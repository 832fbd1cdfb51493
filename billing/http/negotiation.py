"""Which of a view's formats is sent: what the client accepts, or what ?format= names."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import Http404
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer


class Negotiation(DefaultContentNegotiation):
    """REST framework's, but a format that there is not is 406 as in Accept, and no 404: the path is there."""

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:
        renderers = list(renderers)
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            known = ", ".join(dict.fromkeys(str(renderer.format) for renderer in renderers))
            raise NotAcceptable(f"There is no such format. Known are: {known}.") from None
