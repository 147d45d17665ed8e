"""URLs called by the CRM."""

from django.urls import path

from crm.views import ActivityView, ChangeUserStatusView, MakeCallView, SettingsView

urlpatterns = [
    path("<str:hook>/make-call/", MakeCallView.as_view(), name="make-call"),
    path("<str:hook>/change-user-status/", ChangeUserStatusView.as_view(), name="change-user-status"),
    path("<str:hook>/activity/", ActivityView.as_view(), name="activity"),
    path("<str:hook>/settings/", SettingsView.as_view(), name="settings"),
]
