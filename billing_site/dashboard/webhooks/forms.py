"""The forms that an endpoint is made and changed with."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from billing.models.webhooks.endpoints import LONGEST_URL
from billing.webhooks import addresses
from billing.webhooks.types import MEANINGS, SUBSCRIBABLE
from billing_site.dashboard.sentences import on_page


class EndpointForm(forms.Form):
    """To be checked outside of any transaction: it looks the host's name up."""

    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=LONGEST_URL,
        widget=forms.TextInput(attrs={"type": "url", "inputmode": "url", "placeholder": "https://"}),
        help_text=gettext_lazy("By https, and reached from the internet."),
    )
    types = forms.MultipleChoiceField(
        label=gettext_lazy("Messages"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Choose none to get all of them, also those that come later."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        field: Any = self.fields["types"]
        field.choices = [(name, format_html("<code>{}</code> {}", name, MEANINGS[name])) for name in SUBSCRIBABLE]

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        try:
            addresses.check(url)
        except addresses.UrlRefused as refused:
            raise forms.ValidationError(on_page(refused)) from None
        return url
