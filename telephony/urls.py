"""Webhook URLs and recording links."""

from django.urls import path

from telephony.views import NotificationView, RecordView

urlpatterns = [
    path("<str:hook>/", NotificationView.as_view(), name="notifications"),
    path("<str:hook>/<str:event>/", NotificationView.as_view()),
]

record_urlpatterns = [path("<str:token>/", RecordView.as_view(), name="record")]
