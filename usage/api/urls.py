"""Paths of metering under /api/v1/usage/. A trailing slash is accepted everywhere, for every method."""

from django.urls import re_path

from usage.api import event_views, report_views, reservation_views, views

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
EVENT, RESERVATION = rf"(?P<event>{UUID})", rf"reservations/(?P<reservation>{UUID})"

urlpatterns = [
    re_path(r"^current/?$", views.Current.as_view(), name="usage-current"),
    re_path(r"^breakdown/?$", report_views.Breakdown.as_view(), name="usage-breakdown"),
    re_path(r"^history/?$", report_views.History.as_view(), name="usage-history"),
    re_path(r"^logs/?$", report_views.Logs.as_view(), name="usage-logs"),
    re_path(r"^track/?$", views.Track.as_view(), name="usage-track"),
    re_path(r"^check/?$", views.Check.as_view(), name="usage-check"),
    re_path(r"^events/?$", event_views.Events.as_view(), name="usage-events"),
    re_path(rf"^events/{EVENT}/?$", views.VoidEvent.as_view(), name="usage-event"),
    re_path(r"^reservations/?$", reservation_views.Reservations.as_view(), name="usage-reservations"),
    re_path(rf"^{RESERVATION}/?$", reservation_views.OneReservation.as_view(), name="usage-reservation"),
    re_path(rf"^{RESERVATION}/settle/?$", reservation_views.Settle.as_view(), name="usage-settle"),
]
