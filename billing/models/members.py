"""Who else acts for an account: members, and who was invited to become one."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q

INVITATION_HOLDS_FOR = timedelta(days=7)


class Role(models.TextChoices):
    """What a member may do at the dashboard; see `billing.members.rights`."""

    OWNER = "owner"
    BILLING = "billing"
    DEVELOPER = "developer"
    VIEWER = "viewer"


class Member(models.Model):
    """A user who acts for another user's account. The account's own user is an owner without a row."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField()
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            models.UniqueConstraint(name="member_once", fields=["account", "user"]),
            models.CheckConstraint(name="member_of_another", condition=~Q(account=F("user"))),
        ]

    def __str__(self) -> str:
        return f"{self.user} for {self.account}"


class Invitation(models.Model):
    """An address that may become a member. Its row goes when it is accepted or withdrawn."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role)
    token_digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of what stands in the mail.")
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [models.UniqueConstraint(name="invitation_once", fields=["account", "email"])]

    def __str__(self) -> str:
        return f"{self.email} to {self.account}"
