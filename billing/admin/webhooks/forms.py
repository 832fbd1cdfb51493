"""The form of an endpoint. Where its address leads is judged before it, as Django cleans it within a transaction."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from billing.admin.base import ModelForm
from billing.api.sentences import to_staff
from billing.models import WebhookEndpoint
from billing.webhooks import addresses, endpoints
from billing.webhooks.types import SUBSCRIBABLE


class Judged(NamedTuple):
    url: str
    refused: addresses.UrlRefused | None


def judge(url: str) -> Judged:
    """Never within a transaction: see `addresses.check`."""
    try:
        addresses.check(url)
    except addresses.UrlRefused as refused:
        return Judged(url, refused)
    return Judged(url, None)


class EndpointForm(ModelForm[WebhookEndpoint]):
    types = forms.MultipleChoiceField(
        required=False,
        choices=[(name, name) for name in SUBSCRIBABLE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Choose none to get all of them, also those that come later.",
    )

    judged: ClassVar[Judged | None] = None
    """Of a form that was sent."""

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        assert self.judged is not None and self.judged.url == url
        if self.judged.refused is not None:
            raise ValidationError(to_staff(self.judged.refused))
        return url

    def clean(self) -> Any:
        if self.instance.pk is None:
            try:
                endpoints.hold_room(None)
            except endpoints.TooManyEndpoints as refused:
                raise ValidationError(to_staff(refused)) from None
        return super().clean()
