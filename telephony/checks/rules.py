"""Check of a client's transfer rules: a list can become empty after it was saved, when its last row leaves UIS."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, CheckResult, Responsible
from tenants import rule_checks
from tenants.models import Tenant

RULES_PASS = Check(
    code="RULES_PASS",
    responsible=Responsible.OPERATOR,
    passed=_("The transfer rules let calls pass."),
    failed=_(
        "A filter of the transfer rules is “only these” with nothing chosen that UIS still has, so every call is "
        "skipped. Choose what passes, or another filter. Admin: the client → Number, employee and contact filters."
    ),
)


def rules_pass(tenant: Tenant) -> Iterator[CheckResult]:
    yield RULES_PASS.result(is_ok=rule_checks.passes_something(tenant, tenant.rules))
