"""The URL configuration."""

from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.i18n import set_language

import crm.urls
import telephony.urls
from connector_project import health

admin.site.site_header = admin.site.site_title = "UIS ⇄ retailCRM"
# Breadcrumbs are enough for navigation, and the list of clients needs the width.
admin.site.enable_nav_sidebar = False
admin.site.index_title = _("Overview")

urlpatterns = [
    path("hooks/uis/", include("telephony.urls")),
    path("hooks/retailcrm/", include("crm.urls")),
    path("activate/", include(crm.urls.page_urlpatterns)),
    path("connect/retailcrm/", include(crm.urls.connect_urlpatterns)),
    path("records/", include(telephony.urls.record_urlpatterns)),
    path("health/live/", health.live),
    path("health/ready/", health.ready),
    path("api/v1/", include("crm.api.urls")),
    path("language/", set_language, name="set_language"),
    path("admin/", admin.site.urls),
]
