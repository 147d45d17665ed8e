"""What counts as an attempt: a call that waits for a right, for points or for a vendor is not given up for it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.core.rate_limit import RateLimitExceeded
from crm import tasks as crm_tasks
from telephony import tasks
from telephony.calls import manual
from telephony.models import Call, FailureReason
from telephony.models.retries import MAX_UNEXPECTED_REPLIES, RETRY_WINDOW
from tenants.models import Tenant
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.fakes.retailcrm_faults import GARBLED as CRM_GARBLED
from tests.fakes.uis_faults import GARBLED as UIS_GARBLED
from tests.rules import publish_rules_for_all

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

LEGS = "get.call_legs_report"
# An answer without JSON looks like an outage; the others are not as documented.
UNEXPECTED = [kind for kind in UIS_GARBLED if kind != "truncated"]


@pytest.fixture
def minutes(clock):
    """Let time pass: a sweep every `every`, and the probes of denied accounts."""

    def wait(count, *, every=timedelta(minutes=1)):
        for _sweep in range(int(timedelta(minutes=count) / every)):
            clock.shift(every)
            tasks.probe_all()
            crm_tasks.probe_all()
            task_queue.sweep()

    return wait


@pytest.fixture
def answered(pbx, notify, tenant, clock):
    """Create answered calls."""

    def create(count=1, **options):
        for number in range(count):
            started_at = timezone.now() - timedelta(seconds=60)
            call = pbx.call(contact=f"79995{number:06}", number=NUMBER, talks=[(IVAN, 50)], started_at=started_at)
            notify(call.notification("call_end"), **options)

    return create


@pytest.fixture
def missed(pbx, notify, tenant, clock):
    """Create missed calls."""

    def create(count=1):
        for number in range(count):
            notify(pbx.call(contact=f"79995{number:06}", number=NUMBER, rings=[IVAN]).notification("lost_call"))

    return create


def attempts():
    return set(Call.objects.values_list("attempts", flat=True))


DAYS = RETRY_WINDOW + timedelta(days=1)
# What keeps a call waiting, how it is set up and taken away again, and what the call waits for.
WAITS = {
    "legs report not bought": (lambda pbx, _crm: pbx.unavailable_methods.add(LEGS), "UIS_DENIED"),
    "UIS key expired": (lambda pbx, _crm: setattr(pbx, "token_state", "expired"), "UIS_DENIED"),
    "no points": (lambda pbx, _crm: setattr(pbx, "minute_limit", 0), "UIS_QUOTA"),
    "CRM key revoked": (lambda _pbx, crm: setattr(crm, "key", "another"), "CRM_DENIED"),
    "CRM right missing": (lambda _pbx, crm: crm.scopes.discard("telephony_write"), "CRM_DENIED"),
}


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("wait", WAITS)
def test_calls_that_waited_for_days_are_retried_after_a_fault(
    answered, pbx, crm, uis_world, crm_world, clock, minutes, stranger, wait
):
    """Also if UIS refused each of many tries meanwhile: waiting is not trying."""
    begin, reason = WAITS[wait]
    before = (pbx.token_state, pbx.minute_limit, crm.key, set(crm.scopes))
    begin(pbx, crm)
    answered(3)
    minutes(DAYS / timedelta(minutes=1), every=timedelta(hours=8))
    # With a denied account the others are not even tried.
    assert {(reason, None)} <= set(Call.objects.values_list("reason", "failed_at")) <= {(reason, None), ("", None)}
    assert attempts() == {0}
    pbx.token_state, pbx.minute_limit, crm.key = before[:3]
    pbx.unavailable_methods.discard(LEGS)
    crm.scopes |= before[3]
    uis_world.break_down("503", times=1, method=LEGS)
    crm_world.break_down("503", times=1, path_part="calls/upload")
    minutes(12)
    assert len(crm.calls) == 3


@pytest.mark.exhaustive
@pytest.mark.slow
def test_fault_after_days_without_the_crm_does_not_fail_the_calls(missed, crm, crm_world, minutes, stranger):
    """They were tried five times before the outage."""
    crm_world.break_down("503", host=crm.host)
    missed(3)
    Call.objects.update(attempts=6)
    minutes(DAYS / timedelta(minutes=1), every=timedelta(hours=8))
    crm_world.repair()
    crm_world.break_down("503", times=1, path_part="calls/upload")
    minutes(40)
    assert len(crm.calls) == 3


@pytest.mark.exhaustive
@pytest.mark.slow
def test_manager_is_asked_for_again_after_days_without_access(missed, crm, crm_world, minutes):
    publish_rules_for_all(missed_owner="RESPONSIBLE")
    crm.responsible["79995000000"], key = 28, crm.key
    crm.key = "another"
    missed()
    minutes(DAYS / timedelta(minutes=1), every=timedelta(hours=6))
    assert attempts() == {0}
    crm.key = key
    crm_world.break_down("503", times=1, path_part="telephony/manager")
    minutes(12)
    assert [call["_manager"] for call in crm.calls] == [28]


@pytest.fixture
def unlisted(pbx, notify, tenant, clock):
    """Create answered calls that UIS does not list until `pbx` is told so."""

    def create(count=2):
        for number in range(count):
            started_at = timezone.now() - timedelta(seconds=60)
            call = pbx.call(contact=f"79995{number:06}", number=NUMBER, talks=[(IVAN, 50)], started_at=started_at)
            call.visible_at = timezone.now() + timedelta(days=30)
            notify(call.notification("call_end"))

    return create


def list_in(pbx, passed):
    """Let UIS list the calls after this time."""
    for session in pbx.sessions.values():
        session.visible_at = timezone.now() + passed


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["client paused", "legs report not bought", "UIS key expired"])
def test_days_in_which_a_call_was_not_tried_do_not_count(unlisted, pbx, crm, tenant, minutes, wait):
    """It was tried some times before, and UIS does not list it at once when it lets us in."""
    unlisted()
    minutes(12)
    assert min(attempts()) > 3
    if wait == "client paused":
        Tenant.objects.filter(pk=tenant.pk).update(is_paused=True)
    else:
        WAITS[wait][0](pbx, crm)
    minutes(DAYS / timedelta(minutes=1), every=timedelta(hours=8))
    Tenant.objects.filter(pk=tenant.pk).update(is_paused=False)
    pbx.unavailable_methods, pbx.token_state = set(), "valid"
    list_in(pbx, timedelta(minutes=12))
    minutes(80, every=timedelta(minutes=4))
    assert (len(crm.calls), set(Call.objects.values_list("failed_at", flat=True))) == (2, {None})


def test_retry_by_a_person_begins_the_days_anew(unlisted, pbx, crm, minutes):
    unlisted(1)
    long_ago = timezone.now() - DAYS
    Call.objects.update(
        failed_at=timezone.now(), next_attempt_at=None, reason="UNKNOWN_TO_UIS", first_attempt_at=long_ago, attempts=200
    )
    assert manual.retry(Call.objects.get(), now=timezone.now())
    minutes(30, every=timedelta(minutes=3))
    call = Call.objects.get()
    assert (call.attempts > 3, call.failed_at) == (True, None)


@pytest.mark.slow
def test_report_that_fails_for_days_while_all_else_is_answered_fails_no_call(
    answered, tenant, crm, uis_world, clock, minutes, stranger
):
    uis_world.break_down("503", method=LEGS)
    answered()
    for _time in range(int(DAYS / timedelta(hours=6))):
        clock.shift(timedelta(hours=6))
        tasks.probe(tenant.pk)
        task_queue.sweep()
    assert Call.objects.get().failed_at is None
    uis_world.repair()
    minutes(40, every=timedelta(minutes=4))
    assert len(crm.calls) == 1


def test_exhausted_rate_limit_is_no_attempt(missed, crm, minutes, monkeypatch):
    """Nobody was asked."""

    def exhaust(*_args, **_kwargs):
        raise RateLimitExceeded

    with monkeypatch.context() as patch:
        patch.setattr("crm.client_factory.acquire", exhaust)
        missed(2)
        minutes(6)
        assert attempts() == {0}
    minutes(1)
    assert len(crm.calls) == 2


@pytest.mark.slow
def test_call_that_fails_each_time_is_given_up_after_three_days(answered, pbx, minutes, monkeypatch):
    monkeypatch.setattr("telephony.uis.client.UisClient.call_legs", lambda *_args, **_kwargs: [])
    monkeypatch.setattr("telephony.uis.client.UisClient.calls_by_session", lambda *_args, **_kwargs: [])
    answered()
    minutes(RETRY_WINDOW / timedelta(minutes=1), every=timedelta(hours=6))
    assert Call.objects.get().failed_at is None
    minutes(60, every=timedelta(minutes=30))
    call = Call.objects.get()
    assert (call.failed_at is not None, call.reason, call.next_attempt_at) == (True, "UNKNOWN_TO_UIS", None)


@pytest.mark.parametrize("kind", UIS_GARBLED)
def test_garbled_answer_of_uis_delays_the_calls(answered, uis_world, crm, minutes, stranger, kind):
    uis_world.break_down(kind, times=1, method=LEGS)
    answered(3, works=False)
    minutes(3)
    assert len(crm.calls) == 3


@pytest.mark.parametrize("kind", CRM_GARBLED)
def test_garbled_answer_of_the_crm_delays_the_calls(missed, crm, crm_world, minutes, stranger, kind):
    """The CRM has stored them: none appears twice."""
    crm_world.break_down(kind, times=1, path_part="calls/upload")
    missed(3)
    minutes(3)
    assert sorted(call["phone"] for call in crm.calls) == [f"+79995{number:06}" for number in range(3)]
    assert set(Call.objects.values_list("state", flat=True)) == {"UPLOADED"}


@pytest.mark.parametrize("kind", CRM_GARBLED)
def test_garbled_answer_about_the_manager_is_asked_for_again(missed, crm, crm_world, minutes, kind):
    publish_rules_for_all(missed_owner="RESPONSIBLE")
    crm.responsible["79995000000"] = 28
    crm_world.break_down(kind, times=2, path_part="telephony/manager")
    missed()
    minutes(3)
    # One of another type says that there is none, as the CRM does.
    assert [call["_manager"] for call in crm.calls] == [27 if kind == "wrong_shape" else 28]


@pytest.mark.slow
def test_call_whose_answer_is_garbled_each_time_fails_alone(missed, crm, crm_world, minutes, monkeypatch, stranger):
    from tests.fakes import retailcrm_methods
    from tests.fakes.retailcrm_http import as_json

    real, sizes = retailcrm_methods.answer, []

    def answer(account, request):
        calls = request.fields.get("calls")
        if calls and "79995000002" in str(calls):
            sizes.append(str(calls).count("externalId"))
            return as_json(200, ["not", "an", "object"])
        return real(account, request)

    monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)
    crm_world.break_down("503", times=1)
    missed(5)
    minutes(15)
    assert len(crm.calls) == 4
    minutes(180, every=timedelta(minutes=5))
    call = Call.objects.get(contact="79995000002")
    assert (call.reason, call.failed_at is not None, call.next_attempt_at) == ("UNEXPECTED_REPLY", True, None)
    assert (len(sizes), sizes[0] > 1, set(sizes[3:])) == (MAX_UNEXPECTED_REPLIES, True, {1})


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("kind", UNEXPECTED)
def test_calls_fail_after_several_garbled_answers_of_uis_in_a_row(answered, uis_world, crm, minutes, stranger, kind):
    uis_world.break_down(kind, method=LEGS)
    answered(2)
    minutes(240, every=timedelta(minutes=5))
    assert set(Call.objects.values_list("reason", flat=True)) == {FailureReason.UNEXPECTED_REPLY}
    assert not Call.objects.filter(failed_at=None).exists()
    assert crm.calls == []


@pytest.mark.parametrize("kind", UIS_GARBLED)
def test_garbled_answer_delays_an_import(tenant, pbx, uis_world, crm, minutes, kind):
    from django.contrib.auth.models import AnonymousUser

    from telephony import bulk_actions
    from telephony.models import BulkAction

    yesterday = timezone.now() - timedelta(days=1)
    pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN], started_at=yesterday)
    uis_world.break_down(kind, times=2, method="get.calls_report")
    day = yesterday.astimezone(tenant.zone).date()
    bulk_actions.preview_import(tenant, first=day, last=day, by=AnonymousUser(), now=timezone.now())
    minutes(5)
    action = BulkAction.objects.get()
    assert (action.state, action.done, action.failed_at) == ("PREVIEWED", 1, None)
