"""Compares a period with UIS's report, creates missing calls, and prints how every call ended."""

import time
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count
from django.utils import timezone

from connector_project.core import http_client, phone_numbers
from connector_project.operations.management.base import JsonCommand, add_period
from telephony import client_factory
from telephony.models import Call, FailureReason
from telephony.reconciliation import compare
from telephony.reconciliation.comparison_result import ComparisonResult
from tenants import retention
from tenants.models import Tenant

LONGEST_WAIT_SECONDS = 1800.0


class Command(JsonCommand):
    help = (
        "Compare a period with UIS's report, create missing calls, and print the result. "
        "Times without a UTC offset are in the client's time zone; a date alone means the whole day."
    )
    waited = 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        add_period(parser)
        parser.add_argument("--dry-run", action="store_true", help="write and send nothing, only report")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant = self.tenant(options["tenant"])
        now = timezone.now()
        since, till = self.period(tenant, since=options["since"], till=options["till"])
        if since < retention.kept_since(tenant, retention.Term.CALLS, now=now):
            first, days = retention.first_day(tenant, now=now), retention.days(tenant, retention.Term.CALLS)
            self.usage_error(f"Calls are kept for {days} days: the period can begin on {first} at the earliest.")
        try:
            client = client_factory.uis_client(tenant.uis, on_wait=self._wait)
            found = compare.reconcile(
                tenant, since=since, till=till, now=now, client=client, is_dry_run=options["dry_run"]
            )
        except http_client.RemoteError as exc:
            self.fail(f"{exc.system}: {exc} Calls found so far are kept; run it again to continue.")
        self._print(found, tenant, is_dry_run=options["dry_run"])
        self.print_json(tenant=tenant.slug, **asdict(found.stats))

    def _wait(self, exc: http_client.RemoteUnavailable) -> None:
        """Wait for UIS API points and print a message; give up after half an hour in total."""
        seconds = (exc.wait or 60.0) + 1
        self.waited += seconds
        if self.waited > LONGEST_WAIT_SECONDS:
            raise exc
        self.stderr.write(f"UIS API points are exhausted; continuing in {seconds:.0f} seconds.")
        self.stderr.flush()
        time.sleep(seconds)

    def _print(self, found: ComparisonResult, tenant: Tenant, *, is_dry_run: bool) -> None:
        verb = "would be created" if is_dry_run else "were created"
        self.stderr.write(f"{found.found} of {found.stats.uis_calls} calls {verb}.")
        for call in found.sample:
            self.stderr.write(f"  {_line(call, tenant)}")
        if not found.is_complete:
            self.stderr.write("UIS counts more calls than it sent, or some could not be created. Run it again.")
        if found.stats.failed:
            self._print_failed(tenant)

    def _print_failed(self, tenant: Tenant) -> None:
        failed = Call.objects.filter(tenant=tenant, failed_at__isnull=False).order_by()
        for code, count in failed.values_list("reason").annotate(Count("pk")):
            cause = FailureReason(code)
            self.stderr.write(f"Failed now: {count} calls, {cause.label}. Action: {cause.responsible.label}.")


def _line(call: Call, tenant: Tenant) -> str:
    when = f"{call.started_at.astimezone(tenant.zone):%Y-%m-%d %H:%M:%S}"
    outcome = call.get_skip_reason_display() if call.skip_reason else call.get_state_display()
    return f"{call.session_id} {when} {call.direction} {phone_numbers.mask(call.contact)}: {outcome}"
