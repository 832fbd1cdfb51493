"""The keys customers call with: stored hashed, shown once, named, scoped, revocable, known by a checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db import models, transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework_api_key.crypto import KeyGenerator, concatenate
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager

from billing.fence.fenced import FencedModel
from billing.outbox.kinds import Happened
from billing.outbox.record import record

CHECKSUM_DIGITS = 12


class _KeyGenerator(KeyGenerator):
    def generate(self) -> tuple[str, str, str]:
        """The text, the prefix and the hash of a key that `bears_checksum`."""
        prefix = self.get_prefix()
        body = concatenate(prefix, self.get_secret_key())
        key = body + _checksum(body, settings.SECRET_KEY)
        return key, prefix, self.hash(key)


def bears_checksum(key: str) -> bool:
    """Whether this site has made the key, at some time: nobody else can make such a text.

    Keys that were made before keys bore one, or under a SECRET_KEY that is not in SECRET_KEY_FALLBACKS, may be good
    as well.
    """
    body, given = key[:-CHECKSUM_DIGITS], key[-CHECKSUM_DIGITS:]
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(_checksum(body, secret), given) for secret in secrets)


def _checksum(body: str, secret: str | bytes) -> str:
    return salted_hmac("billing.api-key", body, secret, algorithm="sha256").hexdigest()[:CHECKSUM_DIGITS]


class _KeyManager(APIKeyManager):
    key_generator = _KeyGenerator()

    def assign_key(self, obj: AbstractAPIKey) -> str:
        """Name the row by its prefix: the library's own primary key holds the hash, which would stand in every URL."""
        text = super().assign_key(obj)
        obj.id = obj.prefix
        return text


class ApiKey(FencedModel, AbstractAPIKey):
    class Scope(models.TextChoices):
        NONE = "", "none"
        METER = "meter", "meter: may void charges made by /usage/track"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    scope = models.CharField(max_length=10, choices=Scope, blank=True, default=Scope.NONE)
    if not TYPE_CHECKING:
        objects = _KeyManager()

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def fence_subject(self) -> int:
        return int(self.account_id)

    @classmethod
    def issue(cls, **fields: Any) -> tuple[ApiKey, str]:
        """A new key and its plain text, which is not kept anywhere."""
        with transaction.atomic():
            created, text = cls.objects.create_key(**fields)
            key = cast(ApiKey, created)
            record(Happened.API_KEY_ISSUED, key.account_id, key=key.prefix)
        return key, text

    def revoke(self) -> bool:
        """Refuse calls with this key from the next request on, for good. False where it was revoked before."""
        with transaction.atomic():
            if type(self).objects.select_for_update().get(pk=self.pk).revoked:
                return False
            self.revoked = True
            self.save(update_fields=["revoked"])
            record(Happened.API_KEY_REVOKED, self.account_id, key=self.prefix)
        return True
