"""Print the calls of one client and one period as rows for other programs."""

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
        "Print the calls of one client that began in a period, the oldest first, with whole numbers. "
        "Moments without a zone are the client's local time; a day alone means all of it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        add_period(parser)
        parser.add_argument("--format", default="csv", choices=sorted(FORMATS))

    def handle(self, *_args: Any, **said: Any) -> None:
        tenant = self.tenant(said["tenant"])
        since, till = self.period(tenant, since=said["since"], till=said["till"])
        period = f"{since.isoformat()} – {till.isoformat()}"
        # Before the first row leaves: whoever reads them may hang up at any time.
        journal.note(tenant, Change.Verb.EXPORTED, now=timezone.now(), field=said["format"].upper(), new=period)
        rows = export.rows(export.of_period(tenant, since=since, till=till), number=phones.e164)
        for line in FORMATS[said["format"]](export.COLUMNS, rows):
            self.stdout.write(line, ending="")
