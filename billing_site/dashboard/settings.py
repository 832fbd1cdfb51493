"""Language and time zone of a person."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from billing.models import Preferences
from billing_site.dashboard.access import DashboardRequest, dashboard_page

REGIONS = frozenset(
    {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific", "UTC"}
)
ZONES = sorted(name for name in available_timezones() if name.partition("/")[0] in REGIONS)
"""Places, and not the names beside them: `Etc/GMT+7` is seven hours behind, `EST` knows no summer."""


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(label=_("Time zone"))
    notices = forms.BooleanField(label=_("Mail me when tokens are running out"), required=False)

    class Meta:
        model = Preferences
        fields = ["language", "time_zone", "notices"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["time_zone"]
        field.choices = [(name, name) for name in sorted({*ZONES, self.instance.time_zone})]


@dashboard_page()
def edit(request: DashboardRequest) -> HttpResponseBase:
    kept = request.acting.preferences
    form = PreferencesForm(
        request.POST or None,
        instance=kept,
        initial={"language": kept.language or translation.get_language(), "time_zone": kept.time_zone},
    )
    if request.method == "POST" and form.is_valid():
        form.save()
        with translation.override(form.cleaned_data["language"]):
            messages.success(request, _("Saved."))
        answer = redirect("dashboard-settings")
        # The log-in page follows it, too.
        answer.set_cookie(settings.LANGUAGE_COOKIE_NAME, form.cleaned_data["language"], max_age=31_536_000)
        return answer
    return render(request, "dashboard/settings.html", {"form": form})
