"""How a user wants to be spoken to."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models


class Preferences(models.Model):
    """Of pages and mails. Without a row the defaults count."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="preferences"
    )
    language = models.CharField(
        max_length=8, blank=True, choices=settings.LANGUAGES, help_text="Blank: the browser's, and English in mails."
    )
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name, such as Europe/Berlin.")

    notices = models.BooleanField(
        default=True, db_default=True, help_text="Gets mails that one can do without: how much of the quota is used."
    )

    class Meta:
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"{self.language or 'any language'}, {self.time_zone}"

    @classmethod
    def of(cls, user: int) -> Preferences:
        """The user's, or the defaults, not saved."""
        return cls.objects.filter(pk=user).first() or cls(pk=user)

    @classmethod
    def of_user(cls, user: User) -> Preferences:
        """The same; no query where they were read with the user."""
        found: Preferences | None = getattr(user, "preferences", None)
        return found or cls(pk=user.pk)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
