"""Compare a period with UIS's own list, take over what nobody told us of, and say how every call ended."""

import time
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count
from django.utils import timezone

from connector_project import phones, remote
from connector_project.management.output import JsonCommand, add_period
from telephony import clients, reconcile
from telephony.models import Call, Cause
from tenants.models import Tenant

LONGEST_WAIT_SECONDS = 1800.0


class Command(JsonCommand):
    help = (
        "Compare a period with UIS's own list, take over the calls nobody told us of, and print the ledger. "
        "Moments without a zone are the client's local time; a day alone means all of it."
    )
    waited = 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        add_period(parser)
        parser.add_argument("--dry-run", action="store_true", help="write and send nothing, say what would be")

    def handle(self, *_args: Any, **said: Any) -> None:
        tenant = self.tenant(said["tenant"])
        now = timezone.now()
        since, till = self.period(tenant, since=said["since"], till=said["till"])
        try:
            client = clients.uis_client(tenant.uis, on_wait=self._wait)
            found = reconcile.reconcile(
                tenant, since=since, till=till, now=now, client=client, is_dry_run=said["dry_run"]
            )
        except remote.RemoteError as exc:
            self.fail(f"{exc.system}: {exc} What was found until then is kept; run it again to go on.")
        self._tell(found, tenant, is_dry_run=said["dry_run"])
        self.say(tenant=tenant.slug, **asdict(found.tally))

    def _wait(self, exc: remote.RemoteUnavailable) -> None:
        """Wait for points of UIS, and say so; give up where that would take too long."""
        seconds = (exc.wait or 60.0) + 1
        self.waited += seconds
        if self.waited > LONGEST_WAIT_SECONDS:
            raise exc
        self.stderr.write(f"The points of UIS are used up for now: going on in {seconds:.0f} seconds.")
        self.stderr.flush()
        time.sleep(seconds)

    def _tell(self, found: reconcile.Compared, tenant: Tenant, *, is_dry_run: bool) -> None:
        verb = "would be taken over" if is_dry_run else "were taken over"
        self.stderr.write(f"{found.found} of {found.tally.uis_calls} calls {verb}.")
        for call in found.sample:
            self.stderr.write(f"  {_line(call, tenant)}")
        if found.tally.failed:
            self._tell_failed(tenant)

    def _tell_failed(self, tenant: Tenant) -> None:
        stopped = Call.objects.filter(tenant=tenant, stopped_at__isnull=False).order_by()
        for code, count in stopped.values_list("cause").annotate(Count("pk")):
            cause = Cause(code)
            self.stderr.write(f"Stopped now: {count} calls, {cause.label}; {cause.who.label} must act.")


def _line(call: Call, tenant: Tenant) -> str:
    when = f"{call.started_at.astimezone(tenant.zone):%Y-%m-%d %H:%M:%S}"
    fate = call.get_kept_back_by_display() if call.kept_back_by else call.get_state_display()
    return f"{call.session_id} {when} {call.direction} {phones.masked(call.contact)}: {fate}"
