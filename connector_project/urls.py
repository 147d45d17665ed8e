"""The URL configuration."""

from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import set_language

import telephony.urls

urlpatterns = [
    path("hooks/uis/", include("telephony.urls")),  # first: most requests are notifications
    path("hooks/retailcrm/", include("crm.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("records/", include(telephony.urls.record_urlpatterns)),
    path("language/", set_language, name="set_language"),
    path("", include("connector_project.operations.urls")),
]

handler400 = "connector_project.core.error_pages.bad_request"
handler403 = "connector_project.core.error_pages.forbidden"
handler404 = "connector_project.core.error_pages.not_found"
handler500 = "connector_project.core.error_pages.server_error"
