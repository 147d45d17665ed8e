"""The statement that each end and answer of a call passes through, compiled: which of its pop-ups are shown."""

from connector_project.core.compiled_queries import CompiledSelect
from crm.models import Popup

# The pop-ups of a `tenant` and `session` that may be on a screen, with their connection and employee.
SHOWN: CompiledSelect[Popup] = CompiledSelect(
    lambda given: (
        Popup.objects.filter(
            tenant=given.integer("tenant"),
            session_id=given.integer("session"),
            state__in=[Popup.State.OPENING, Popup.State.OPEN],
        )
        .select_related("employee", "tenant__crm")
        .order_by("pk")
    )
)
