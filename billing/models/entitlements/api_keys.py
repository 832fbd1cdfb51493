"""The keys customers call with: stored hashed, shown once, named, scoped, revocable, known by a checksum."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db import models, transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.crypto import KeyGenerator, concatenate
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager

from billing.fence.fenced import FencedModel
from billing.outbox.kinds import Happened
from billing.outbox.record import record

CHECKSUM_DIGITS = 12
PREFIX_LETTERS = 8
"""Of a key's own prefix. What stands before it, API_KEY_PREFIX, is the same for all keys of its time."""


class _KeyGenerator(KeyGenerator):
    def generate(self) -> tuple[str, str, str]:
        """The text, the prefix and the hash of a key that `bears_checksum`. The text begins with API_KEY_PREFIX."""
        prefix = self.get_prefix()
        body = concatenate(settings.API_KEY_PREFIX + prefix, self.get_secret_key())
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


def prefix_in(text: str) -> str:
    """The prefix of a key's text, whatever API_KEY_PREFIX was when it was made. Of what is no key, any text."""
    return text.partition(".")[0][-PREFIX_LETTERS:]


class _KeyManager(APIKeyManager):
    key_generator = _KeyGenerator()

    def assign_key(self, obj: AbstractAPIKey) -> str:
        """Name the row by its prefix: the library's own primary key holds the hash, which would stand in every URL."""
        text = super().assign_key(obj)
        obj.id = obj.prefix
        cast(ApiKey, obj).lead = settings.API_KEY_PREFIX
        return text

    def get_from_key(self, key: str) -> AbstractAPIKey:
        found = self.get_usable_keys().get(prefix=prefix_in(key))
        if not found.is_valid(key):
            raise self.model.DoesNotExist("Key is not valid.")
        return cast(AbstractAPIKey, found)


class ApiKey(FencedModel, AbstractAPIKey):
    class Scope(models.TextChoices):
        NONE = "", "none"
        METER = "meter", "meter: may reserve, settle and void what others pay"
        MANAGE = "manage", "manage: may make, rotate and revoke the account's keys"

    class State(models.TextChoices):
        VALID = "valid", _("valid")
        EXPIRED = "expired", _("expired")
        REVOKED = "revoked", _("revoked")

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    scope = models.CharField(max_length=10, choices=Scope, blank=True, default=Scope.NONE)
    lead = models.CharField(max_length=20, blank=True, default="", db_default="", editable=False)
    """API_KEY_PREFIX as it was when the key was made."""
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="successors"
    )
    """The key that was rotated."""
    if not TYPE_CHECKING:
        objects = _KeyManager()

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def fence_subject(self) -> int:
        return int(self.account_id)

    @property
    def beginning(self) -> str:
        """What the key's text begins with: its holder knows it by that."""
        return f"{self.lead}{self.prefix}"

    @property
    def last_used_at(self) -> datetime | None:
        """Late by up to a minute. None: never, or not since this is noted."""
        return self.use.used_at if hasattr(self, "use") else None

    def state(self, now: datetime) -> State:
        if self.revoked:
            return self.State.REVOKED
        return self.State.EXPIRED if self.expiry_date is not None and self.expiry_date <= now else self.State.VALID

    @classmethod
    def issue(cls, **fields: Any) -> tuple[ApiKey, str]:
        """A new key and its plain text, which is not kept anywhere."""
        with transaction.atomic():
            created, text = cls.objects.create_key(**fields)
            key = cast(ApiKey, created)
            if key.replaces_id is None:  # or else `api_key.rotated` says it
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


class ApiKeyUse(models.Model):
    """When a key was used last. Beside its row, whose every change tells all processes to look the account up anew."""

    key = models.OneToOneField(ApiKey, on_delete=models.CASCADE, primary_key=True, related_name="use")
    used_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.key_id} at {self.used_at}"
