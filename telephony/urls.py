"""Addresses UIS knows."""

from django.urls import path

from telephony.views import NotificationView

urlpatterns = [
    path("<str:hook>/", NotificationView.as_view(), name="notifications"),
    path("<str:hook>/<str:event>/", NotificationView.as_view()),
]
