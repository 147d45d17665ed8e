"""URLs of the API; a new resource is a module and a line here."""

from csp.decorators import csp_update
from django.urls import path
from rest_framework.routers import SimpleRouter

from connector_project.operations.api.calls import Calls
from connector_project.operations.api.documentation import DocumentationView, SchemaView
from connector_project.operations.api.employees import Employees
from connector_project.operations.api.incidents import Incidents
from connector_project.operations.api.reconciliation import Reconciliation

router = SimpleRouter()
for resource in (Calls, Employees, Reconciliation, Incidents):
    name = resource.__name__.lower()
    router.register(name, resource, basename=name)

# Pictures of Swagger UI are in its style sheet.
docs = csp_update({"img-src": ["data:"]})(DocumentationView.as_view())

urlpatterns = [
    *router.urls,
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
]
