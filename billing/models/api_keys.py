"""The keys customers call with: stored hashed, shown once, named, scoped, revocable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db import models, transaction
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager

from billing.fence.fenced import FencedModel
from billing.outbox.kinds import Happened
from billing.outbox.record import record


class _KeyManager(APIKeyManager):
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

    def revoke(self) -> None:
        """Refuse calls with this key from the next request on, for good."""
        with transaction.atomic():
            self.revoked = True
            self.save(update_fields=["revoked"])
            record(Happened.API_KEY_REVOKED, self.account_id, key=self.prefix)
