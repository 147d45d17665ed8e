"""Check of a client's transfer rules: a list can become empty after it was saved, when its last row is removed."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Check, CheckResult, Responsible
from tenants.models import Tenant
from tenants.transfer_rules import Filter

RULES_PASS = Check(
    code="RULES_PASS",
    responsible=Responsible.OPERATOR,
    passed=_("The transfer rules let calls pass."),
    failed=_(
        "A filter of the transfer rules is “only these” with nothing chosen, so every call is skipped. Choose what "
        "passes, or another filter. Admin: the client → Number, employee and contact filters."
    ),
)


def rules_pass(tenant: Tenant) -> Iterator[CheckResult]:
    rules = tenant.rules.rule_set()
    lists = (rules.numbers, rules.employees, rules.contacts)
    yield RULES_PASS.result(is_ok=all(mode != Filter.ONLY or chosen for mode, chosen in lists))
