"""Exports the calls of one client and period as CSV or JSON lines."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project.core import tabular
from connector_project.operations import call_export
from connector_project.operations.management.base import JsonCommand, add_period
from telephony.calls.filters import CallFilterSet
from telephony.models import Call
from tenants import audit
from tenants.models import AuditLogEntry

FORMATS = {"csv": tabular.csv_lines, "jsonl": tabular.json_lines}


class Command(JsonCommand):
    help = (
        "Print the calls of one client that began in a period, oldest first, with full numbers. "
        "Times without a UTC offset are in the client's time zone; a date alone means the whole day."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        add_period(parser)
        parser.add_argument("--format", default="csv", choices=sorted(FORMATS))

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant = self.tenant(options["tenant"])
        since, till = self.period(tenant, since=options["since"], till=options["till"])
        period = f"{since.isoformat()} – {till.isoformat()}"
        # Log before the first row is written: the reader may close the pipe at any time.
        audit.log(
            tenant, AuditLogEntry.Action.CALLS_EXPORTED, now=timezone.now(), field=options["format"].upper(), new=period
        )
        params = {"started_from": since.isoformat(), "started_till": till.isoformat()}
        calls = CallFilterSet(params, Call.objects.filter(tenant=tenant)).qs
        rows = call_export.rows(calls, reader=None)
        for line in FORMATS[options["format"]](call_export.COLUMNS, rows):
            self.stdout.write(line, ending="")
