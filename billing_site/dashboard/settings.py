"""Language and time zone of a person."""

from __future__ import annotations

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

ZONES = sorted(available_timezones())


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(
        label=_("Time zone"), choices=[(name, name) for name in sorted(available_timezones())]
    )
    notices = forms.BooleanField(label=_("Mail me when tokens are running out"), required=False)

    class Meta:
        model = Preferences
        fields = ["language", "time_zone", "notices"]


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
