"""Adds a client, optionally activates it; a second run for the same client updates the keys."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.utils import timezone, translation

from connector_project.core import check_results, phone_numbers
from connector_project.operations.management.base import JsonCommand, format_validation_error
from connector_project.operations.onboarding import steps
from crm import integration_module
from tenants import onboarding
from tenants.models import CrmConnection, UisConnection


class Command(JsonCommand):
    help = "Add a client, or update the keys of one; --activate does what the client's button does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--uis-token", required=True)
        parser.add_argument("--crm-url", required=True)
        parser.add_argument("--crm-key", required=True)
        parser.add_argument("--slug", default="")
        parser.add_argument("--uis-brand", default="uis", choices=UisConnection.Brand.values)
        parser.add_argument("--crm-api", default="auto", choices=CrmConnection.Version.values)
        parser.add_argument("--virtual-number", default="")
        parser.add_argument("--timezone", default="Europe/Moscow")
        parser.add_argument("--activate", action="store_true")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            tenant = onboarding.create_or_update(_new_tenant(options), now=now)
        except ValidationError as exc:
            self.usage_error(format_validation_error(exc))
        error = ""
        if options["activate"]:
            try:
                with translation.override(tenant.language):
                    steps.activate(tenant, now=now)
            except check_results.CheckFailed as exc:
                error = f"{exc.result.check.code}: {exc.result.message}"
        self.print_json(
            tenant=tenant.slug,
            active=tenant.is_live,
            activation_url=integration_module.activation_url(tenant),
            hooks=integration_module.addresses(tenant),
        )
        if error:
            self.fail(error)


def _new_tenant(options: dict[str, Any]) -> onboarding.NewTenant:
    is_russian = options["uis_brand"] != UisConnection.Brand.CALLGEAR
    return onboarding.NewTenant(
        name=options["name"],
        slug=options["slug"],
        uis_token=options["uis_token"],
        uis_brand=options["uis_brand"],
        crm_url=options["crm_url"],
        crm_key=options["crm_key"],
        crm_version=options["crm_api"],
        default_number=phone_numbers.normalise(options["virtual_number"], is_russian=is_russian),
        time_zone=options["timezone"],
    )
