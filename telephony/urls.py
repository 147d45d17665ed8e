"""Webhook URLs and recording links."""

from django.urls import path

from telephony.recordings.views import RecordView
from telephony.webhooks.views import notification

urlpatterns = [
    path("<str:hook>/", notification, name="notifications"),
    path("<str:hook>/<str:event>/", notification),
]

record_urlpatterns = [path("<str:token>/", RecordView.as_view(), name="record")]
