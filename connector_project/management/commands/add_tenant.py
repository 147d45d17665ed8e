"""Add a client, and switch him on if asked; a second run for the same client corrects his keys."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.utils import timezone, translation

from connector_project import phones
from connector_project.management.output import JsonCommand, sentence
from crm import activation, module
from tenants import onboarding
from tenants.models import CrmConnection, UisConnection


class Command(JsonCommand):
    help = "Add a client, or correct the keys of one; with --activate do what the client's button does."

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

    def handle(self, *_args: Any, **said: Any) -> None:
        now = timezone.now()
        try:
            tenant = onboarding.add_or_correct(_asked(said), now=now)
        except ValidationError as exc:
            self.misused(sentence(exc))
        wrong = ""
        if said["activate"]:
            try:
                with translation.override(tenant.language):
                    activation.activate(tenant, now=now)
            except activation.ActivationFailed as exc:
                wrong = f"{exc.finding.check.code}: {exc.finding.says}"
        self.say(
            tenant=tenant.slug,
            active=tenant.is_live,
            activation_url=module.activation_url(tenant),
            hooks=module.addresses(tenant),
        )
        if wrong:
            self.fail(wrong)


def _asked(said: dict[str, Any]) -> onboarding.NewTenant:
    """Return the options as what an operator knows of a client."""
    is_russian = said["uis_brand"] != UisConnection.Brand.CALLGEAR
    return onboarding.NewTenant(
        name=said["name"],
        slug=said["slug"],
        uis_token=said["uis_token"],
        uis_brand=said["uis_brand"],
        crm_url=said["crm_url"],
        crm_key=said["crm_key"],
        crm_version=said["crm_api"],
        default_number=phones.digits(said["virtual_number"], is_russian=is_russian),
        time_zone=said["timezone"],
    )
