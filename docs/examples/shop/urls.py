"""The shop's views, and after them the site's."""

from django.urls import include, path

from billing_site import urls as site
from shop import views

handler400, handler403, handler404 = site.handler400, site.handler403, site.handler404
handler429, handler500 = site.handler429, site.handler500

urlpatterns = [
    path("shop/report", views.report),
    path("shop/quotes", views.Quotes.as_view()),
    path("shop/search", views.search),
    path("shop/insights", views.insights),
    path("shop/batch", views.batch),
    path("", include(site.urlpatterns)),
]
