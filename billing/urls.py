"""Paths of the catalogue under /api/v1/. A trailing slash is accepted everywhere, for every method."""

from django.urls import re_path

from billing import views

urlpatterns = [
    re_path(r"^plans/?$", views.PlanList.as_view(), name="plans"),
    re_path(r"^plans/(?P<code>[a-z0-9_-]+)/?$", views.PlanDetail.as_view(), name="plan"),
    re_path(r"^features/?$", views.FeatureList.as_view(), name="features"),
]
