"""JSON in and out of the API: bounded when it comes in, with money as exact numbers when it goes out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

from billing.money import ExactJSONEncoder
from billing.problems import Problem


class _Encoder(ExactJSONEncoder, JSONEncoder):
    """REST framework's encoder with money as exact JSON numbers."""


class ApiJSONRenderer(JSONRenderer):
    encoder_class = _Encoder


class StrictJSONParser(JSONParser):
    """JSON within bounds: not larger than the setting, not nested beyond what Python reads, no NaN."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        meta = (parser_context or {})["request"].META
        if int(meta.get("CONTENT_LENGTH") or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise Problem(
                413, "too_large", f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes; send less."
            )
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply.") from None
        except UnicodeError:
            raise ParseError("JSON parse error - the body is not UTF-8.") from None
