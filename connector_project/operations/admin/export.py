"""Export of the filtered call list as CSV or XLSX."""

import tempfile
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from connector_project.core import tabular
from connector_project.core.admin.base import BaseAdmin, page
from connector_project.core.tabular import Row
from connector_project.operations import call_export
from connector_project.operations.admin.call_list import call_filters
from telephony.calls import manual
from telephony.models import Call
from tenants.models import AuditLogEntry

# Rows. The user waits until the file is complete.
MOST = {"csv": 100_000, "xlsx": 20_000}
WRITERS = {"csv": tabular.write_csv, "xlsx": tabular.write_xlsx}
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class ExportMixin(BaseAdmin):
    """Adds `export/csv/` and `export/xlsx/` to the list; both take the list's own filters."""

    change_list_template = "admin/telephony/call/change_list.html"

    @page("export/<slug:kind>/", name="telephony_call_export", post_only=True)
    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Send the file and write an audit entry; refuse an export that is too large."""
        if kind not in MOST:
            raise Http404
        calls = call_filters(request, self.get_queryset(request)).qs
        if refusal := _refusal(calls, MOST[kind]):
            messages.error(request, refusal)
            return redirect(reverse("admin:telephony_call_changelist", query=request.GET))
        counts = dict(calls.order_by().values_list("tenant").annotate(Count("pk")))
        action, by = AuditLogEntry.Action.CALLS_EXPORTED, request.user
        with transaction.atomic():
            manual.log_per_tenant(counts, action, by=by, reason=kind.upper(), now=timezone.now())
        return _file(kind, call_export.rows(calls, reader=by))


def _refusal(calls: QuerySet[Call], most: int) -> str:
    count = calls.order_by()[: most + 1].count()
    if count > most:
        message = _(
            "More than %(most)d calls match. Narrow the filters, or export a period with manage.py export_calls."
        )
        return message % {"most": most}
    return "" if count else _("No calls match these filters: nothing to export.")


def _file(kind: str, rows: Iterable[Row]) -> HttpResponseBase:
    # A file, though CSV could be streamed: a slow reader of a file occupies no thread.
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115 -- the response closes it
    WRITERS[kind](call_export.COLUMNS, rows, file)
    file.seek(0)
    name = f"calls-{timezone.now():%Y-%m-%d}.{kind}"
    return FileResponse(file, as_attachment=True, filename=name, content_type=CONTENT_TYPES[kind])
