"""URLs called by the CRM, and the client's page."""

from django.urls import path

from crm.pages import ClientPage
from crm.views import (
    ActivityView,
    ChangeUserStatusView,
    ConfigurationView,
    MakeCallView,
    RegisterView,
    SettingsView,
)

urlpatterns = [
    path("<str:hook>/make-call/", MakeCallView.as_view(), name="make-call"),
    path("<str:hook>/change-user-status/", ChangeUserStatusView.as_view(), name="change-user-status"),
    path("<str:hook>/activity/", ActivityView.as_view(), name="activity"),
    path("<str:hook>/settings/", SettingsView.as_view(), name="settings"),
]

page_urlpatterns = [path("<str:token>/", ClientPage.as_view(), name="activate")]
connect_urlpatterns = [
    path("", ConfigurationView.as_view(), name="connect"),
    path("register/", RegisterView.as_view(), name="connect-register"),
]
