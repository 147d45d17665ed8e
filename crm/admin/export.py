"""The button over the list of calls that makes a file of what the list shows."""

import tempfile
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from connector_project import sheets
from connector_project.sheets import Row
from crm import export
from telephony.models import Call
from tenants import journal, sight
from tenants.models import Change, Tenant

# Rows. A person waits for them, and a workbook has to be whole before its first byte can be sent.
MOST = {"csv": 100_000, "xlsx": 20_000}
BOM = "\ufeff"  # without it a spreadsheet takes Russian for Latin


class ExportMixin(admin.ModelAdmin[Call]):
    """Adds `export/csv/` and `export/xlsx/` to the list; both take the list's own filters."""

    change_list_template = "admin/telephony/call/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        ours = [path(f"export/{kind}/", view, {"kind": kind}, name=f"telephony_call_{kind}") for kind in ANSWERS]
        return [*ours, *super().get_urls()]

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Write down who exports what, then send it; refuse what would take too long."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        back = redirect(f"{reverse('admin:telephony_call_changelist')}?{request.GET.urlencode()}")
        try:
            chosen: QuerySet[Call] = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return back
        if why := _refusal(chosen, MOST[kind]):
            messages.error(request, why)
            return back
        _note(request, chosen, kind)
        return ANSWERS[kind](export.rows(chosen, number=sight.shown_to(request.user)))


def _refusal(chosen: QuerySet[Call], most: int) -> str:
    count = chosen.order_by()[: most + 1].count()
    if count > most:
        says = _(
            "These are more than %(most)d calls. Narrow the filters, or export a period with manage.py export_calls."
        )
        return says % {"most": most}
    return "" if count else _("No call matches these filters: there is nothing to export.")


@transaction.atomic
def _note(request: HttpRequest, chosen: QuerySet[Call], kind: str) -> None:
    """Write a row into the journal of each client whose calls leave the house."""
    counts = dict(chosen.order_by().values_list("tenant").annotate(Count("pk")))
    now, verb = timezone.now(), Change.Verb.EXPORTED
    for tenant in Tenant.objects.filter(pk__in=counts):
        journal.note(tenant, verb, now=now, by=request.user, field=kind.upper(), new=counts[tenant.pk])


def _name(kind: str) -> str:
    return f"calls-{timezone.now():%Y-%m-%d}.{kind}"


def _csv(rows: Iterator[Row]) -> HttpResponseBase:
    def lines() -> Iterator[str]:
        yield BOM
        yield from sheets.csv_lines(export.COLUMNS, rows)

    headers = {"Content-Disposition": f'attachment; filename="{_name("csv")}"'}
    return StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8", headers=headers)


def _xlsx(rows: Iterator[Row]) -> HttpResponseBase:
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115 -- the answer closes it when it is sent
    sheets.write_xlsx(export.COLUMNS, rows, file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=_name("xlsx"))


ANSWERS = {"csv": _csv, "xlsx": _xlsx}
