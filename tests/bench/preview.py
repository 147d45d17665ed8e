"""A draft of the rules replayed on 10,000 stored calls with their pop-ups, on PostgreSQL, as a worker does it.

Two thirds were answered; their owner is resolved anew from legs and notifications where the draft chooses another one.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.bench import large_database
from tests.bench.figures import Figure
from tests.bench.large_database import VARIANT

if TYPE_CHECKING:
    from tenants.models import Tenant

DATABASE = "connector_preview"
CALLS = 10_000
TARGET_SECONDS = 20.0
NUMBER = "74950000001"
FIRST_EMPLOYEE, PEOPLE = 300001, 10
DRAFTS: dict[str, dict[str, Any]] = {
    "filters and a field map": {
        "contact_filter": "EXCEPT",
        "contacts": "7999000*",
        "field_map": [{"target": "upload.source.keyword", "facts": ["contact"], "form": "hash"}],
    },
    "another owner": {"owner": "FIRST_TALKER", "missed_owner": "NOBODY"},
}


def measure(rows: int) -> Iterator[Figure]:
    """Fill a database with so many calls, 10,000 at most, replay each draft, and drop it. Raises Missing."""
    count = min(rows, CALLS)
    large_database.create(DATABASE)
    try:
        tenant = _fill(count)
        for name, draft in DRAFTS.items():
            yield Figure(
                name=f"preview of {count:,} calls: {name}",
                variant=VARIANT,
                value=_preview(tenant, draft, count=count),
                unit="s",
                target=TARGET_SECONDS,
            )
    finally:
        large_database.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def _preview(tenant: "Tenant", values: dict[str, Any], *, count: int) -> float:
    """Run a preview in turns, as the queue does; return the seconds."""
    from django.utils import timezone

    from connector_project.operations import rule_previews
    from connector_project.operations.models import RulePreview
    from tenants import rule_versions
    from tenants.models import RuleDraft

    draft = RuleDraft.objects.select_related("based_on").get(tenant=tenant)
    draft.take(tenant.current_version)
    RuleDraft.objects.filter(pk=draft.pk).update(**values)
    draft = RuleDraft.objects.select_related("based_on").get(pk=draft.pk)
    draft.tenant, today = tenant, rule_previews.yesterday(tenant, now=timezone.now()) + timedelta(days=1)
    days, seen = {"first": today - timedelta(days=20), "last": today}, rule_versions.stamp(draft)
    preview = rule_previews.start(draft, **days, seen=seen, by=None, now=timezone.now())
    started_at = time.monotonic()
    while preview.state == RulePreview.State.RUNNING:
        rule_previews.run(preview.pk, now=timezone.now())
        preview.refresh_from_db()
    seconds = time.monotonic() - started_at
    counts = preview.result["call"]["counts"]
    if counts["decided"] != count or counts.get("same") == count:
        raise AssertionError(f"the preview counted {counts}")
    return seconds


def _fill(count: int) -> "Tenant":
    """Return a client with calls of the last days."""
    from django.utils import timezone

    from crm.models import Popup
    from telephony.models import Call, CallLogEntry, Notification
    from tenants.models import Employee
    from tests import tenant_factory
    from tests.fakes import retailcrm, uis

    pbx = uis.FakeUis().add_account("uis-token")
    crm = retailcrm.FakeRetailCrm().add_account("acct-example.retailcrm.ru")
    pbx.add_number(NUMBER)
    for number in range(PEOPLE):
        email = f"person{number}@example.com"
        pbx.add_employee(FIRST_EMPLOYEE + number, f"Person {number}", extension=str(101 + number), email=email)
        crm.add_user(27 + number, first_name="Person", last_name=str(number), email=email)
    tenant = tenant_factory.activated("Client", "client", pbx=pbx, crm=crm, default_number=NUMBER)
    people = list(Employee.objects.filter(tenant=tenant).order_by("uis_id"))
    first = timezone.now() - timedelta(days=20)
    calls = [_call(tenant, people, number, first + timedelta(minutes=2 * number)) for number in range(count)]
    Call.objects.bulk_create(calls, batch_size=1000)
    entries = [_entry(call) for call in calls]
    CallLogEntry.objects.bulk_create(entries, batch_size=1000)
    Notification.objects.bulk_create([_ring(call) for call in calls], batch_size=1000)
    Popup.objects.bulk_create([_popup(call) for call in calls], batch_size=1000)
    return tenant


def _call(tenant: "Tenant", people: list[Any], number: int, at: datetime) -> Any:
    from telephony.calls.evidence import UisSnapshot, dump
    from telephony.models import Call

    is_lost, talkers = number % 3 == 0, [people[number % PEOPLE], people[(number + 1) % PEOPLE]]
    session, ends_at = 5_000_000_000 + number, at + timedelta(seconds=90)
    call = Call(
        tenant=tenant,
        session_id=session,
        state=Call.State.UPLOADED,
        direction="in",
        contact=f"7999{number * 37 % 10_000_000:07d}",
        number=NUMBER,
        started_at=at,
        ended_at=ends_at,
        is_lost=is_lost,
        talk_seconds=0 if is_lost else 60,
        wait_seconds=10,
        result="NO_ANSWER" if is_lost else "ANSWERED",
        rung_employee_ids=[talkers[-1].uis_id],
        employee=talkers[-1],
        has_legs=not is_lost,
        rule_version=tenant.current_version,
        retry_window_started_at=at,
        uploaded_at=ends_at,
    )
    if not is_lost:
        call.recording_url = f"https://app.uiscom.ru/system/media/talk/{session}/0a1b2c3d/"
        call.uis_snapshot = dump(UisSnapshot(legs=tuple(_legs(call, talkers))))
    return call


def _legs(call: Any, talkers: list[Any]) -> Iterator[Any]:
    from telephony.uis.types import CallLeg

    for number, person in enumerate(talkers):
        yield CallLeg.model_validate(
            {
                "id": call.session_id * 10 + number,
                "call_session_id": call.session_id,
                "start_time": call.started_at + timedelta(seconds=30 * number),
                "connect_time": call.started_at + timedelta(seconds=30 * number + 5),
                "duration": 25,
                "total_duration": 30,
                "is_operator": True,
                "is_talked": True,
                "employee_id": person.uis_id,
                "contact_phone_number": call.contact,
                "virtual_phone_number": call.number,
            }
        )


def _entry(call: Any) -> Any:
    from telephony.models import CallLogEntry, Step

    details = {
        "result": call.result,
        "code": call.employee.extension,
        "user": call.employee.crm_user_id,
        "employee": call.employee.uis_id,
        "link": "UIS",
        "recording": "READY",
        "version": 1,
        "known": False,
    }
    return CallLogEntry(call=call, at=call.ended_at, step=Step.UPLOAD, details=details)


def _ring(call: Any) -> Any:
    from telephony.calls import stored_events
    from telephony.models import Notification
    from telephony.uis.types import Event, RingingEvent

    event = RingingEvent(
        event=Event.WAITING,
        session_id=call.session_id,
        contact=call.contact,
        number=call.number,
        direction="in",
        employee_id=call.employee.uis_id,
        happened_at=call.started_at,
    )
    return Notification(
        tenant=call.tenant,
        received_at=call.started_at,
        digest=str(call.session_id),
        key=str(call.session_id),
        event=Event.WAITING,
        session_id=call.session_id,
        employee_uis_id=call.employee.uis_id,
        parsed_event=stored_events.dump(event),
        outcome=Notification.Outcome.DONE,
    )


def _popup(call: Any) -> Any:
    from crm.models import Popup

    return Popup(
        tenant=call.tenant,
        session_id=call.session_id,
        employee=call.employee,
        direction="in",
        contact=call.contact,
        number=call.number,
        code=call.employee.extension,
        crm_user_id=call.employee.crm_user_id,
        state=Popup.State.CLOSED,
        ringing_at=call.started_at,
        received_at=call.started_at,
        sent_at=call.started_at,
        rule_version=call.rule_version,
        filled={"external_phone": f"+{call.number}"},
    )
