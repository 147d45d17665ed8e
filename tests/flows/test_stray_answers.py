"""An answer that does not come from a vendor's API is no verdict on an account: the vendor is away, and work waits."""

import pytest

from connector_project.operations import tasks as operations_tasks
from connector_project.operations.models import Incident
from crm.models import Popup
from telephony.models import Call
from tenants.models import CrmConnection, UisConnection

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

REFUSALS = [f"{source} {status}" for status in (400, 401, 403, 404, 405, 410) for source in ("page", "foreign")]
LATER = [f"foreign {status}" for status in (408, 425, 429, 499, 500, 502, 503, 504, 520, 522, 524, 530)]


def denied(tenant):
    rows = [model.objects.get(tenant=tenant) for model in (CrmConnection, UisConnection)]
    return [subject for row in rows for subject in row.denied]


@pytest.mark.parametrize("kind", REFUSALS)
def test_page_that_answers_a_popup_suspends_nothing(clock, tenant, stranger, crm, crm_world, ring, add_missed, kind):
    crm_world.break_down(kind, path_part="call/event", times=1)
    ring(1)
    assert (denied(tenant), Popup.objects.get().state) == ([], "FAILED")
    ring(2)
    add_missed()
    assert (denied(tenant), len(crm.popups()[27]), len(crm.calls)) == ([], 1, 1)
    operations_tasks.evaluate_alerts()
    assert not Incident.objects.filter(kind="ACCESS_DENIED").exists()


@pytest.mark.parametrize("kind", [*REFUSALS, *LATER])
def test_call_that_a_gateway_answered_is_uploaded_by_itself(
    clock, tenant, stranger, crm, crm_world, add_missed, minutes, kind
):
    crm_world.break_down(kind, path_part="calls/upload", times=2)
    add_missed(1)
    call = Call.objects.get()
    assert (call.state, call.reason, call.failed_at) == ("READY", "CRM_UNAVAILABLE", None)
    minutes(3)
    assert (len(crm.calls), Call.objects.get().state, denied(tenant)) == (1, "UPLOADED", [])


@pytest.mark.parametrize("kind", ["page 403", "foreign 404", "page 405"])
def test_account_is_not_called_missing_while_only_uploads_get_pages(
    clock, tenant, crm, crm_world, add_missed, minutes, kind
):
    crm_world.break_down(kind, path_part="calls/upload")
    for number in range(3):
        add_missed(number)
        minutes(20)
    assert (denied(tenant), CrmConnection.objects.get(tenant=tenant).denied_at) == ([], None)
    assert set(Call.objects.values_list("reason", "failed_at")) == {("CRM_UNAVAILABLE", None)}
    crm_world.repair()
    minutes(6)
    assert len(crm.calls) == 3


def test_account_that_is_gone_is_noticed_when_the_api_says_so(clock, tenant, crm, crm_world, add_missed, run_queue):
    from telephony import tasks as uis_tasks

    del crm_world.accounts[crm.host]
    add_missed()
    assert denied(tenant) == []
    uis_tasks.sync_all()
    run_queue()
    assert (denied(tenant), CrmConnection.objects.get(tenant=tenant).denied_code) == (["account"], "account")


@pytest.mark.parametrize("kind", [*REFUSALS, *LATER])
def test_gateway_before_uis_suspends_nothing(clock, tenant, stranger, crm, uis_world, add_answered, minutes, kind):
    uis_world.break_down(kind, method="get.call_legs_report", times=2)
    add_answered()
    call = Call.objects.get()
    assert (call.state, call.reason, call.failed_at) == ("FETCHING_LEGS", "UIS_UNAVAILABLE", None)
    assert denied(tenant) == []
    minutes(3)
    assert (len(crm.calls), denied(tenant)) == (1, [])
