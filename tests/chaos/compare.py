"""Compares every result with the expected one; one line per difference."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from telephony.models import Call, RecordingLink
from tests.chaos import expectation, replayed
from tests.chaos.observed import Accepted, Evidence
from tests.chaos.scenario import CallScenario, Click, GroundTruth
from tests.chaos.tenants import ChaosTenant

ENCRYPTED = ("uis_snapshot", "recording_url")
POPUP_TTL = timedelta(seconds=10)
ROUNDED = timedelta(seconds=2)  # UIS's reports have whole seconds
# A pop-up may wait for the CRM's rate limit and for the network.
DELIVERY_TIME = timedelta(seconds=8)


@dataclass
class RunResult:
    """Everything to compare."""

    tenants: list[ChaosTenant]
    truth: GroundTruth
    evidence: Evidence
    accepted: dict[tuple[int, str], Accepted]
    errors: list[str]  # errors during the run
    poisoned: set[tuple[int, int]] = field(default_factory=set)  # tenant and session of rows that cannot be decrypted


def find_differences(run: RunResult) -> list[str]:
    """Return all differences."""
    differences_found = list(run.errors)
    for tenant in run.tenants:
        judges = (_calls(run, tenant), _history(run, tenant), _popups(run, tenant), replayed.differences(tenant))
        for differences in judges:
            differences_found += [f"{tenant.slug} {line}" for line in differences]
    differences_found += [f"{click.tenant.slug} {line}" for click in run.truth.clicks for line in _click(click)]
    return differences_found


def _calls(run: RunResult, tenant: ChaosTenant) -> Iterator[str]:
    """Check that every call of UIS has one row in the right state."""
    rows = {call.session_id: call for call in _rows(tenant)}
    for scenario in run.truth.calls_of(tenant):
        call = rows.pop(scenario.session.session_id, None)
        scenario.version = call.rule_version.number if call else 0
        for line in _call(run, scenario, call):
            yield f"{scenario.session.session_id} ({scenario.kind}): {line}"
    for session_id in rows:
        yield f"{session_id}: the connector has a call that UIS does not have"


def _rows(tenant: ChaosTenant) -> Iterator[Call]:
    yield from Call.objects.filter(tenant=tenant.row).select_related("rule_version").defer(*ENCRYPTED)


def _call(run: RunResult, scenario: CallScenario, call: Call | None) -> Iterator[str]:
    if call is None:
        yield "the connector has no row"
    elif (scenario.tenant.order, call.session_id) in run.poisoned and call.failed_at is not None:
        return
    elif call.state == Call.State.SKIPPED:
        yield from _skipped(run, scenario, call)
    elif call.state == Call.State.UPLOADED:
        if call.skip_reason:
            yield f"it is uploaded, but has the skip reason {call.skip_reason}"
    else:
        yield f"it ended as {call.state}, reason {call.reason or 'none'}, {'failed' if call.failed_at else 'waiting'}"


def _skipped(run: RunResult, scenario: CallScenario, call: Call) -> Iterator[str]:
    evidence = run.evidence.rings(scenario, accepted=None)
    allowed = {
        rule
        for view in expectation.views(scenario, evidence)
        for owner in expectation.owners(scenario, view)
        for rule in expectation.rules(scenario, owner, view)
    }
    if call.skip_reason not in allowed:
        yield f"it was skipped by {call.skip_reason}, but the rules allow {sorted(allowed) or 'no skipping'}"


def _history(run: RunResult, tenant: ChaosTenant) -> Iterator[str]:
    """Check that every record in the CRM is a correct one of a call of UIS, and there once."""
    scenarios = {f"uis-{scenario.session.session_id}": scenario for scenario in run.truth.calls_of(tenant)}
    for external_id, count in Counter(str(record.get("externalId")) for record in tenant.crm.calls).items():
        if count > 1:
            yield f"{external_id} is {count} times in the CRM"
    session_ids, repeated = set(), replayed.repeated(tenant)
    for record in tenant.crm.calls:
        scenario = scenarios.get(str(record.get("externalId")))
        if scenario is None:
            yield f"the CRM has {record.get('externalId')}, which UIS does not have"
            continue
        session_ids.add(scenario.session.session_id)
        for line in _record_by_version(run, scenario, record, repeated):
            yield f"{scenario.session.session_id} ({scenario.kind}): {line}"
    yield from _states(run, tenant, session_ids)


def _states(run: RunResult, tenant: ChaosTenant, in_crm: Collection[int]) -> Iterator[str]:
    """Check that the uploaded calls are those in the CRM. One that cannot be decrypted may have been sent before."""
    for session_id, state in Call.objects.filter(tenant=tenant.row).values_list("session_id", "state"):
        if (state == Call.State.UPLOADED) != (session_id in in_crm) and (tenant.order, session_id) not in run.poisoned:
            yield f"{session_id}: it is {state}, and {'' if session_id in in_crm else 'not '}in the CRM"


def _record_by_version(
    run: RunResult, scenario: CallScenario, record: dict[str, Any], repeated: Collection[int]
) -> list[str]:
    """Check a record by the version that decided it; one whose first upload went unnoticed may be of an earlier one."""
    found = list(_record(run, scenario, record))
    if not found or scenario.session.session_id not in repeated:
        return found
    others = (replace(scenario, version=number) for number in scenario.tenant.versions)
    return [] if any(not list(_record(run, one, record)) for one in others) else found


def _record(run: RunResult, scenario: CallScenario, record: dict[str, Any]) -> Iterator[str]:
    session = scenario.session
    expected = {
        "type": session.direction,
        "result": expectation.result(session),
        "phone": expectation.phone(session.contact),
        "externalPhone": expectation.phone(session.number),
        "duration": session.talk,
        "date": expectation.date(session, scenario.tenant.zone),
    }
    for name, value in expected.items():
        if record.get(name) != value:
            yield f"{name} is {record.get(name)!r}, not {value!r}"
    accepted = run.accepted.get((scenario.tenant.order, record["externalId"]))
    if accepted is None:
        yield "it is in the CRM without an upload"
        return
    yield from _owner(run, scenario, record, accepted)
    yield from _link(run, scenario, record, accepted)


def _owner(run: RunResult, scenario: CallScenario, record: dict[str, Any], accepted: Accepted) -> Iterator[str]:
    evidence = run.evidence.rings(scenario, accepted=accepted)
    candidates = [
        (view, owner) for view in expectation.views(scenario, evidence) for owner in expectation.owners(scenario, view)
    ]
    allowed_owners = [owner for view, owner in candidates if not expectation.rules(scenario, owner, view)]
    if not allowed_owners:
        broken = sorted({rule for view, owner in candidates for rule in expectation.rules(scenario, owner, view)})
        yield f"it was uploaded against {broken}"
        return
    managers = {expectation.manager(scenario, owner) for owner in allowed_owners}
    if record["_manager"] not in managers:
        yield f"its manager is {record['_manager']}, not {sorted(managers, key=str)}"


def _link(run: RunResult, scenario: CallScenario, record: dict[str, Any], accepted: Accepted) -> Iterator[str]:
    link, known = record.get("recordUrl"), expectation.links(scenario)
    is_ours = link is not None and _is_our_link(link, scenario)  # it plays a recording that had not come yet
    if link is not None and not scenario.choices.send_recording:
        yield "it has a recording, although the client's rules exclude recordings"
    elif link is not None and link not in known and not is_ours:
        yield "its recording belongs to another call"
    if (link is not None and not is_ours) or not known or not scenario.choices.send_recording:
        return
    # With our link the CRM has a part of which UIS told before, and those that it did not tell of.
    has_parts = is_ours and len(scenario.session.records) > 1
    if not has_parts and run.evidence.saw_recording(scenario, accepted):
        yield "its recording was reported by UIS, but is not in the CRM"
    owner = next(iter(next(expectation.views(scenario, ())).last))
    is_early = accepted.at < expectation.recording_deadline(scenario) - ROUNDED
    if is_early and expectation.is_recorded(scenario.tenant, scenario.session, owner):
        yield "its recording was not waited for"


def _is_our_link(link: str, scenario: CallScenario) -> bool:
    rows = RecordingLink.objects.filter(tenant=scenario.tenant.row, call__session_id=scenario.session.session_id)
    return rows.filter(digest__of=link.rstrip("/").rpartition("/")[2]).exists()


def _popups(run: RunResult, tenant: ChaosTenant) -> Iterator[str]:
    """Check that every pop-up is for a phone of this client that has just started to ring."""
    scenarios = {f"uis-{scenario.session.session_id}": scenario for scenario in run.truth.calls_of(tenant)}
    for event in tenant.crm.events:
        scenario = scenarios.get(str(event.get("callExternalId")))
        if scenario is None or expectation.phone(scenario.session.contact) != event["phone"]:
            yield f"a pop-up for {event.get('callExternalId')}, which is no call of this client"
        elif event["type"] != "hangup":
            for line in _popup(run, scenario, event):
                yield f"{scenario.session.session_id} ({scenario.kind}): {line}"


def _popup(run: RunResult, scenario: CallScenario, event: dict[str, Any]) -> Iterator[str]:
    codes = event.get("codes", [])
    people = [person for person in scenario.tenant.people if person.extension in codes]
    rang = {leg.employee_id: leg.started_at for leg in scenario.session.operator_legs}
    overslept = run.evidence.overslept(scenario.tenant.crm.host, event["_at"])
    for person in people:
        if person.uis_id not in rang:
            yield f"a pop-up for {person.extension}, whose phone did not ring"
        elif event["_at"] - rang[person.uis_id] - overslept > POPUP_TTL + DELIVERY_TIME:
            yield f"a pop-up {(event['_at'] - rang[person.uis_id]).total_seconds():.0f} s after the ring"


def _click(click: Click) -> Iterator[str]:
    dialled = [params for params in click.tenant.pbx.dialled if params["contact"] == click.contact]
    if len(dialled) > 1 + click.is_second_call:
        yield f"a click rang {len(dialled)} times"
    if any(params["employee"]["id"] != click.employee_id for params in dialled):
        yield "a click called another employee"
    if any(status not in {200, 400} for status in click.answers):
        yield f"a click was answered with {click.answers}"
