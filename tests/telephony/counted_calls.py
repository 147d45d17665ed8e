"""Counts of calls for tests of the roll-up: one call after another, and as they are stored and shown."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from telephony import stats
from telephony.models import Call, CallDelta, DailyCalls, DailyEmployeeCalls
from telephony.stats.rollup import CALLS
from tenants.models import Employee, Tenant
from tests.rules import begin_rules

NOW = datetime(2026, 3, 31, 22, 40, tzinfo=UTC)
KINDS = (
    {"direction": "in", "result": "ANSWERED", "is_lost": False, "talk_seconds": 9},
    {"direction": "in", "result": "NO_ANSWER", "is_lost": True, "talk_seconds": 0},
    {"direction": "in", "result": "", "is_lost": None, "talk_seconds": 0},
    {"direction": "in", "result": "", "is_lost": True, "talk_seconds": 3},
    {"direction": "out", "result": "ANSWERED", "is_lost": None, "talk_seconds": 5},
    {"direction": "out", "result": "BUSY", "is_lost": None, "talk_seconds": 0},
    {"direction": "", "result": "", "is_lost": None, "talk_seconds": 0},
)


def outcome_of(call):
    """Return how a call ended, independently of the code under test."""
    if call.direction == "in":
        if call.result == "ANSWERED":
            return "answered"
        return "missed" if call.is_lost and not call.talk_seconds else "unknown"
    if call.direction == "out" and call.result:
        return "reached" if call.result == "ANSWERED" else "not_reached"
    return "unknown"


def count_independently():
    """Count every call, one after another: by tenant and day, by hour, by employee."""
    found = Counter()
    for call in Call.objects.select_related("tenant"):
        if call.is_internal:
            continue
        local, outcome = call.started_at.astimezone(ZoneInfo(call.tenant.time_zone)), outcome_of(call)
        found[call.tenant_id, local.date(), outcome] += 1
        if call.direction == "in":
            found[call.tenant_id, local.date(), call.employee_id or 0, outcome] += 1
            if outcome != "unknown":
                found[call.tenant_id, local.date(), f"{outcome}_{local.hour:02}"] += 1
    return found


def read_stored():
    """Return the stored counts."""
    found = Counter()
    for model, key in ((DailyCalls, ["tenant", "day"]), (DailyEmployeeCalls, ["tenant", "day", "employee_key"])):
        for row in model.objects.values():
            row["tenant"] = row.pop("tenant_id")
            parts = [row.pop(name) for name in key]
            del row["id"]
            found.update({(*parts, column): number for column, number in row.items() if number})
    return found


def read_with_deltas():
    """Return the stored counts and the deltas together."""
    found = read_stored()
    found.update({(*key, column): number for (_table, key, column), number in CALLS.pending(CallDelta.objects).items()})
    return Counter({key: number for key, number in found.items() if number})


def read_statistics(tenant):
    """Return the counts that the statistics show, in the same form, but for the days of hours and employees."""
    found, period = Counter(), stats.Period.last(90, zones=[tenant.time_zone], now=NOW + timedelta(days=2))
    calls = stats.calls(tenant, period)
    for key, counts in (
        *calls.by_day.items(),
        *calls.by_hour.items(),
        *((("employee", row.pk or 0), row.outcomes) for row in stats.by_employee(tenant, period)),
    ):
        found.update({(key, name): number for name, number in vars(counts).items() if number})
    return found


def count_as_shown(tenant):
    found = Counter()
    for (tenant_id, day, *key), number in count_independently().items():
        if tenant_id != tenant.pk:
            continue
        match key:
            case [int(employee), outcome]:
                found[("employee", employee), outcome] += number
            case ["answered" | "missed" | "reached" | "not_reached" | "unknown" as outcome]:
                found[day, outcome] += number
            case [column]:
                outcome, hour = column.rsplit("_", 1)
                found[int(hour), outcome] += number
    return found


def create_tenant(number, zone="Europe/Moscow"):
    tenant = begin_rules(Tenant.objects.create(name=f"Shop {number}", slug=f"shop-{number}", time_zone=zone))
    for uis_id in range(2):
        Employee.objects.create(tenant=tenant, uis_id=uis_id, full_name=f"Person {uis_id}")
    return tenant


def build_call(tenant, session, kind, at, *, employee=None, is_internal=False):
    return Call(
        tenant=tenant,
        session_id=session,
        state="UPLOADED",
        started_at=at,
        ended_at=at,
        retry_window_started_at=at,
        employee=employee,
        is_internal=is_internal,
        **KINDS[kind],
    )
