"""Exports the calls of one client and period as CSV or JSON lines."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project import phones, sheets
from connector_project.management.output import JsonCommand, add_period
from crm import export
from tenants import journal
from tenants.models import Change

FORMATS = {"csv": sheets.csv_lines, "jsonl": sheets.json_lines}


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
        journal.note(tenant, Change.Verb.EXPORTED, now=timezone.now(), field=options["format"].upper(), new=period)
        rows = export.rows(export.of_period(tenant, since=since, till=till), number=phones.e164)
        for line in FORMATS[options["format"]](export.COLUMNS, rows):
            self.stdout.write(line, ending="")
