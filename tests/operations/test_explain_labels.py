"""Every code that an explanation can have is explained: on the page and in docs/support.md."""

import re
from pathlib import Path

import pytest

from connector_project.operations.explain import labels
from telephony.models import FailureReason
from tenants.models import RuleDraft
from tenants.transfer_rules import SkipReason

SUPPORT = Path("docs/support.md").read_text(encoding="utf-8")
# A setting of the client or no setting at all decides by these; POPUP_OFF concerns pop-ups only.
WITHOUT_A_RULE = {
    SkipReason.EXPIRED,
    SkipReason.HIDDEN_NUMBER,
    SkipReason.MANUAL,
    SkipReason.NOT_IMPORTED,
    SkipReason.POPUP_OFF,
    SkipReason.ERASED,
}


@pytest.mark.parametrize("reason", sorted(set(SkipReason) - WITHOUT_A_RULE))
def test_skip_reason_names_its_setting(reason):
    assert RuleDraft._meta.get_field(labels._RULE_FIELDS[reason])


@pytest.mark.parametrize("code", sorted({*SkipReason, *FailureReason.values} - {""}))
def test_code_is_in_the_documentation_for_support(code):
    assert re.search(rf"`{code}`", SUPPORT), "Add it to the table of codes in docs/support.md."


def test_empty_setting_is_shown_as_a_dash():
    assert labels.named_rule("recording_days", None).endswith(": –")
