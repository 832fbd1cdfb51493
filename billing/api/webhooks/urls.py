"""Paths below /api/v1/webhooks. A trailing slash is accepted everywhere, for every method."""

from __future__ import annotations

from django.urls import re_path

from billing.api.webhooks import views

ONE = r"^webhooks/(?P<id>[A-Za-z0-9]{1,18})"

urlpatterns = [
    re_path(r"^webhooks/?$", views.EndpointList.as_view(), name="webhooks"),
    re_path(rf"{ONE}/?$", views.EndpointDetail.as_view(), name="webhook"),
    re_path(rf"{ONE}/rotate/?$", views.EndpointRotation.as_view(), name="webhook-rotate"),
    re_path(rf"{ONE}/ping/?$", views.EndpointPing.as_view(), name="webhook-ping"),
    re_path(rf"{ONE}/deliveries/?$", views.DeliveryList.as_view(), name="webhook-deliveries"),
    re_path(
        rf"{ONE}/deliveries/(?P<delivery>[A-Za-z0-9]{{1,18}})/retry/?$",
        views.DeliveryRetry.as_view(),
        name="webhook-retry",
    ),
]
