"""URLs of the API; a new resource is a module and a line here."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from crm.api.calls import Calls
from crm.api.employees import Employees
from crm.api.incidents import Incidents
from crm.api.ledger import Ledger
from crm.api.resource import Resource

RESOURCES: dict[str, type[Resource]] = {
    "calls": Calls,
    "employees": Employees,
    "ledger": Ledger,
    "incidents": Incidents,
}

router = SimpleRouter()
for name, resource in RESOURCES.items():
    router.register(name, resource, basename=name)

urlpatterns = [
    *router.urls,
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(), name="docs"),
]
