"""The statements that pop-ups pass through, compiled: how they are created, found and closed."""

from connector_project.core.compiled_queries import CompiledInsert, CompiledSelect, CompiledUpdate
from crm.models import Popup

NEW = CompiledInsert(Popup)
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
# The pop-ups `pks` are closed, with the `hangup` that the CRM was told, at `now`.
CLOSED = CompiledUpdate(
    lambda given: (
        Popup.objects.filter(pk__in=given.integers("pks")),
        {
            "state": Popup.State.CLOSED,
            "hangup": given.text("hangup"),
            "closed_at": given.moment("now"),
            "close_by": None,
            "closing_until": None,
        },
    ),
    lists=["pks"],
)
