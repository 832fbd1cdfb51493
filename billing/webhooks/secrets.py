"""Secrets that sign webhooks: made, shown once, and kept encrypted under SECRET_KEY."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX: Final = "whsec_"
"""As Standard Webhooks writes them."""
_BYTES: Final = 32


class SecretLost(Exception):
    """It was encrypted under a SECRET_KEY that is not in SECRET_KEY_FALLBACKS any more."""


def new() -> str:
    """A secret as its receiver configures it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def encrypted(secret: str) -> str:
    return _cipher().encrypt(secret.encode()).decode()


def decrypted(kept: str) -> str:
    """Raises SecretLost."""
    try:
        return _cipher().decrypt(kept.encode()).decode()
    except InvalidToken:
        raise SecretLost from None


def encrypted_anew(kept: str) -> str:
    """The same under the present SECRET_KEY; as it is where it was under that. Raises SecretLost."""
    try:
        _under(settings.SECRET_KEY).decrypt(kept.encode())
    except InvalidToken:
        return encrypted(decrypted(kept))
    return kept


def _cipher() -> MultiFernet:
    """Encrypts under SECRET_KEY, and reads what is under one of SECRET_KEY_FALLBACKS, too."""
    return MultiFernet([_under(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _under(key: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"billing.webhooks").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
