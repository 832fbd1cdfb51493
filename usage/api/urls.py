"""Paths of metering under /api/v1/usage/. A trailing slash is accepted everywhere, for every method."""

from django.urls import re_path

from usage.api import report_views, views

EVENT = r"(?P<event>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

urlpatterns = [
    re_path(r"^current/?$", views.Current.as_view(), name="usage-current"),
    re_path(r"^breakdown/?$", report_views.Breakdown.as_view(), name="usage-breakdown"),
    re_path(r"^history/?$", report_views.History.as_view(), name="usage-history"),
    re_path(r"^logs/?$", report_views.Logs.as_view(), name="usage-logs"),
    re_path(r"^track/?$", views.Track.as_view(), name="usage-track"),
    re_path(r"^check/?$", views.Check.as_view(), name="usage-check"),
    re_path(rf"^events/{EVENT}/?$", views.VoidEvent.as_view(), name="usage-event"),
]
