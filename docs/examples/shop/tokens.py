"""The shop's own tokens: METERED_IDENTIFY asks here who calls, where no API key of the site says it."""

import jwt
from django.conf import settings
from django.http import HttpRequest


def account_of(request: HttpRequest) -> int | None:
    """The id of the user in the JWT; None where there is none of ours. Whatever it raises is a 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or token.count(".") != 2:
        return None
    claims = jwt.decode(token, settings.TOKEN_SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    return int(claims["sub"])
