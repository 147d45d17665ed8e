"""Adds a client, optionally activates it; a second run for the same client updates the keys.

Keys come from files, from standard input or from a prompt: arguments are seen by everybody on the machine.
"""

import sys
from getpass import getpass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.utils import timezone, translation

from connector_project.core import check_results, phone_numbers
from connector_project.core.check_results import CHECKS
from connector_project.operations.management.base import JsonCommand, format_validation_error
from connector_project.operations.onboarding import steps
from crm import integration_module
from tenants import home_region, onboarding
from tenants.models import CrmConnection, UisConnection

# A key file of this name is standard input.
STANDARD_INPUT = "-"


class Command(JsonCommand):
    help = "Add a client, or update the keys of one; --activate does what the client's button does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--uis-token-file", default="", help="a file with the key of UIS; - is standard input")
        parser.add_argument("--crm-url", required=True)
        parser.add_argument(
            "--crm-key-file",
            default="",
            help="a file with the CRM's key; if both are -, the second line of standard input",
        )
        parser.add_argument("--slug", default="")
        parser.add_argument("--uis-brand", default="uis", choices=UisConnection.Brand.values)
        parser.add_argument("--crm-api", dest="crm_version", default="auto", choices=CrmConnection.Version.values)
        parser.add_argument("--virtual-number", default="")
        parser.add_argument("--timezone", dest="time_zone", default="Europe/Moscow")
        parser.add_argument("--activate", action="store_true")

    def handle(self, *_args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            tenant = onboarding.create_or_update(self._new_tenant(options), now=now)
        except ValidationError as exc:
            self._refuse(exc)
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

    def _refuse(self, exc: ValidationError) -> NoReturn:
        """Exit with code 1 if a set-up check refuses an account, else with code 2."""
        faults = exc.error_dict.values() if hasattr(exc, "error_dict") else [exc.error_list]
        for fault in chain.from_iterable(faults):
            if fault.code in CHECKS:
                other = (fault.params or {}).get("other")
                self.fail(" ".join([f"{fault.code}:", *fault.messages, *([f"({other.slug})"] if other else [])]))
        self.usage_error(format_validation_error(exc))

    def _new_tenant(self, options: dict[str, Any]) -> onboarding.NewTenant:
        return onboarding.NewTenant(
            **{name: options[name] for name in ("name", "slug", "uis_brand", "crm_url", "crm_version", "time_zone")},
            uis_token=self._read_key(options["uis_token_file"], prompt="Key of UIS (Enter: none, or as before): "),
            crm_key=self._read_key(options["crm_key_file"], prompt="Key of the CRM (Enter: none, or as before): "),
            default_number=self._number(options),
        )

    def _number(self, options: dict[str, Any]) -> str:
        """Return the digits of the virtual number; "" if none was given."""
        region = home_region.default(options["time_zone"], "", options["uis_brand"])
        typed = phone_numbers.from_person(options["virtual_number"], region=region)
        if options["virtual_number"] and typed is None:
            self.usage_error(
                "--virtual-number: this is not a phone number. Write it with its country code: +74951234567."
            )
        return typed.digits if typed else ""

    def _read_key(self, name: str, *, prompt: str) -> str:
        """Return the first line of a file, or the next line of standard input for `-`.

        On a terminal a key that no file holds is asked for without showing it; otherwise it is "" without a name.
        """
        if name in {"", STANDARD_INPUT} and sys.stdin.isatty():
            return getpass(prompt).strip()
        if not name:
            return ""
        try:
            if name == STANDARD_INPUT:
                key = sys.stdin.readline().strip()
            else:
                with Path(name).open(encoding="utf-8") as file:
                    key = file.readline().strip()
        except (OSError, UnicodeDecodeError, ValueError) as exc:
            self.usage_error(f"The key file {name} cannot be read: {exc}.")
        if not key:
            self.usage_error(f"The key file {name} has no key in its first line.")
        return key
