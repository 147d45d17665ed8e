"""Erases a phone number from every row of one client, and prints the changed rows by table."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from connector_project.operations.erasure import run
from connector_project.operations.management.base import JsonCommand


class Command(JsonCommand):
    help = (
        "Erase a phone number of a client's customer from every row, log and audit entry. The calls stay, without it. "
        "A worker searches once more some minutes later."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the short name")
        parser.add_argument("number", help="in any form, for example +79990000001")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, only count")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant, now = self.tenant(options["tenant"]), timezone.now()
        try:
            digits = run.parse(tenant, options["number"])
        except run.Refused as exc:
            self.usage_error(str(exc))
        if options["dry_run"]:
            erased = dict(run.preview(tenant, digits, now=now))
        else:
            erasure = run.run(run.start(tenant, digits, now=now).pk, now=now)
            if erasure is None:
                self.fail("A worker has begun it at the same time; its result is in the admin, under Erasures.")
            erased = erasure.erased
        self.print_json(tenant=tenant.slug, erased=dict(sorted(erased.items())))
