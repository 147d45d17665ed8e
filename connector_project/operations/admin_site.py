"""The admin site of the product."""

from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class ConnectorAdminSite(AdminSite):
    site_header = site_title = "UIS ⇄ retailCRM"
    index_title = _("Overview")
    # Breadcrumbs are enough for navigation, and the list of clients needs the width.
    enable_nav_sidebar = False
