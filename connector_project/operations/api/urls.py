"""URLs of the API; a new resource is a module and a line here."""

from django.urls import path
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from connector_project.operations.api.calls import Calls
from connector_project.operations.api.employees import Employees
from connector_project.operations.api.incidents import Incidents
from connector_project.operations.api.reconciliation import Reconciliation

router = SimpleRouter()
for resource in (Calls, Employees, Reconciliation, Incidents):
    name = resource.__name__.lower()
    router.register(name, resource, basename=name)

urlpatterns = [
    *router.urls,
    path("schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(http_method_names=["get", "head"]), name="docs"),
]
