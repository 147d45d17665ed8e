"""The CRM counts what it took of an upload: what it did not take is sent again, found by halves, and named."""

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from crm import tasks as crm_tasks
from telephony.models import Call, CallLogEntry
from tests import task_queue
from tests.conftest import IVAN, NUMBER

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]


@pytest.fixture
def ready(tenant, pbx, notify):
    """Bring some missed calls to their upload; return their external ids."""

    def create(count):
        started_at = timezone.now() - timedelta(seconds=60)
        for number in range(count):
            call = pbx.call(contact=f"7999600{number:04d}", number=NUMBER, rings=[IVAN], started_at=started_at)
            notify(call.notification("lost_call"), works=False)
        task_queue.process_notifications()
        task_queue.drain(pick=lambda task: task.endswith("evaluate_calls"))
        assert set(Call.objects.values_list("state", flat=True)) == {"READY"}
        return [f"uis-{session}" for session in Call.objects.order_by("pk").values_list("session_id", flat=True)]

    return create


def sent(crm):
    return [len(upload) for upload in crm.uploads]


def stored(crm):
    return sorted(call["externalId"] for call in crm.calls)


def states():
    return {f"uis-{call.session_id}": call.state for call in Call.objects.all()}


@pytest.mark.parametrize("seed", range(6))
def test_calls_that_the_crm_left_out_are_found(ready, tenant, stranger, crm, seed):
    rng = random.Random(seed)
    ids = ready(rng.randint(2, 12))
    lost = set(rng.sample(ids, rng.randint(1, min(3, len(ids)))))
    crm.ignored_calls = lost
    crm_tasks.upload_calls(tenant.pk)
    assert states() == {one: "READY" if one in lost else "UPLOADED" for one in ids}
    assert stored(crm) == sorted(set(ids) - lost)
    waiting = Call.objects.exclude(state="UPLOADED")
    assert {(call.reason, call.failed_at, call.detail) for call in waiting} == {
        ("CRM_NOT_TAKEN", None, "processedCallsCount: 0")
    }
    assert len(crm.uploads) <= 2 * len(ids)


def test_six_calls_of_which_three_were_taken(ready, tenant, crm):
    ids = ready(6)
    crm.ignored_calls = {ids[0], ids[2], ids[4]}
    crm_tasks.upload_calls(tenant.pk)
    assert Call.objects.filter(state="UPLOADED").count() == 3
    assert Call.objects.filter(reason="CRM_NOT_TAKEN", failed_at=None).count() == 3


def test_call_that_blocks_its_whole_batch_is_found(ready, tenant, crm):
    ids = ready(7)
    crm.blocking_calls = {ids[4]}
    crm_tasks.upload_calls(tenant.pk)
    assert [one for one, state in states().items() if state != "UPLOADED"] == [ids[4]]
    assert stored(crm) == sorted(set(ids) - {ids[4]})


def test_call_that_is_taken_later_is_uploaded_once(ready, tenant, crm, later):
    ids = ready(3)
    crm.ignored_calls = {ids[1]}
    crm_tasks.upload_calls(tenant.pk)
    crm.ignored_calls = set()
    later(timedelta(minutes=2))
    assert (set(states().values()), stored(crm)) == ({"UPLOADED"}, sorted(ids))


def test_call_that_is_never_taken_fails_alone_with_its_reason(ready, tenant, crm, time_machine):
    ids = ready(3)
    crm.ignored_calls = {ids[1]}
    time_machine.move_to(timezone.now())
    for _try in range(12):
        task_queue.sweep()
        time_machine.shift(timedelta(minutes=35))
    call = Call.objects.get(session_id=int(ids[1].removeprefix("uis-")))
    assert (call.state, call.reason, call.failed_at is not None) == ("READY", "CRM_NOT_TAKEN", True)
    assert Call.objects.filter(state="UPLOADED").count() == 2


COUNTS = {
    "missing": lambda _stored, _sent: None,
    "text": lambda stored, _sent: str(stored),
    "more than sent": lambda _stored, sent: sent + 5,
    "one more than sent": lambda _stored, sent: sent + 1,
    "negative": lambda _stored, _sent: -1,
    "with the duplicates": lambda _stored, sent: sent,
    "one less": lambda stored, _sent: max(0, stored - 1),
}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("known", [0, 1])
def test_count_that_tells_nothing_makes_us_ask_again(ready, tenant, crm, count, number, known):
    """What was stored is named by the answer to the repeat, whatever its count says."""
    ids = ready(number)
    crm.calls += [{"externalId": one, "_manager": None} for one in ids[:known]]
    crm.count_of_uploads = COUNTS[count]
    crm_tasks.upload_calls(tenant.pk)
    assert (stored(crm), len(set(stored(crm)))) == (sorted(ids), len(ids))
    if not (count == "one less" and number == 1):  # "None of one was taken" is what it says: it is tried later.
        assert set(states().values()) == {"UPLOADED"}
    assert len(crm.uploads) <= 2 * number + 1


def test_success_that_shows_nothing_twice_is_no_upload(ready, tenant, crm, monkeypatch):
    ids = ready(2)
    crm.ignored_calls = set(ids)
    crm.count_of_uploads = COUNTS["missing"]
    crm_tasks.upload_calls(tenant.pk)
    assert (set(states().values()), crm.calls) == ({"READY"}, [])
    assert set(Call.objects.values_list("reason", "detail")) == {("CRM_NOT_TAKEN", "processedCallsCount: None")}


def test_duplicates_of_calls_that_were_not_sent_do_not_count(ready, tenant, crm, monkeypatch):
    from crm.retailcrm.client import RetailCrmClient

    ids, real = ready(4), RetailCrmClient.upload_calls

    def upload(client, records):
        answer = real(client, records)
        return answer.model_copy(update={"duplicates": (*answer.duplicates, "uis-1", "call-7")})

    monkeypatch.setattr(RetailCrmClient, "upload_calls", upload)
    crm.ignored_calls = {ids[3]}
    crm_tasks.upload_calls(tenant.pk)
    assert [one for one, state in states().items() if state != "UPLOADED"] == [ids[3]]


def test_full_count_costs_one_request(ready, tenant, crm):
    ids = ready(8)
    crm_tasks.upload_calls(tenant.pk)
    assert (sent(crm), stored(crm)) == ([8], sorted(ids))


def test_crm_that_stops_answering_meanwhile_leaves_the_rest_for_later(ready, tenant, crm, crm_world, later):
    from crm.retailcrm.client import RetailCrmClient

    ids, real = ready(4), RetailCrmClient.upload_calls
    crm.ignored_calls = {ids[0]}
    with pytest.MonkeyPatch.context() as patch:

        def upload(client, records):
            if len(crm.uploads) == 1:
                crm_world.break_down("503", path_part="calls/upload")
            return real(client, records)

        patch.setattr(RetailCrmClient, "upload_calls", upload)
        crm_tasks.upload_calls(tenant.pk)
    assert set(Call.objects.values_list("state", "reason")) == {("READY", "CRM_UNAVAILABLE")}
    crm_world.repair()
    crm.ignored_calls = set()
    later(timedelta(minutes=1))
    assert (set(states().values()), stored(crm)) == ({"UPLOADED"}, sorted(ids))


def test_repeat_is_no_sign_that_the_crm_had_a_call_before(ready, tenant, crm):
    ids = ready(4)
    crm.ignored_calls = {ids[0]}
    crm_tasks.upload_calls(tenant.pk)
    details = CallLogEntry.objects.filter(step="UPLOAD", call__state="UPLOADED").values_list("details", flat=True)
    assert [one.get("known", False) for one in details] == [False] * 3
