"""The client's page, the marketplace connection, health, the API and the admin."""

from django.contrib import admin
from django.urls import include, path

from connector_project.operations import health
from connector_project.operations.onboarding.marketplace_views import ConfigurationView, RegisterView
from connector_project.operations.onboarding.reconnect_views import ReconnectPage
from connector_project.operations.onboarding.views import ClientPage

urlpatterns = [
    path("activate/<str:token>/", ClientPage.as_view(), name="activate"),
    path("reconnect/<str:token>/", ReconnectPage.as_view(), name="reconnect"),
    path("connect/retailcrm/", ConfigurationView.as_view(), name="connect"),
    path("connect/retailcrm/register/", RegisterView.as_view(), name="connect-register"),
    path("health/live/", health.live),
    path("health/ready/", health.ready),
    path("api/v1/", include("connector_project.operations.api.urls")),
    path("admin/", admin.site.urls),
]
