"""Webhook URLs and recording links."""

from django.urls import path

from telephony.recordings.views import RecordView
from telephony.webhooks.views import NotificationView

urlpatterns = [
    path("<str:hook>/", NotificationView.as_view(), name="notifications"),
    path("<str:hook>/<str:event>/", NotificationView.as_view()),
]

record_urlpatterns = [path("<str:token>/", RecordView.as_view(), name="record")]
