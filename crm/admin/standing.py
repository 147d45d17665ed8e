"""The view model of an import of past calls: what was found, its progress, and what blocks it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext

from connector_project.readonly import Text
from crm.alarms import words
from telephony.models import Call, Cause, Direction, Takeover
from telephony.models.ledger import STANDINGS
from telephony.uis.refusals import LIMIT
from tenants import clock
from tenants.models import Denial, Employee, Tenant
from tenants.transfer import KeptBack


@dataclass(frozen=True)
class Line:
    """A call of the sample."""

    at: str
    direction: str
    contact: str
    fate: str


@dataclass(frozen=True)
class Notice:
    """A warning before an import, who is responsible, and the page (URL name) to fix it."""

    says: str
    who: Text = ""
    page: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The state of an import, ready for display."""

    row: Takeover
    period: str
    asked: str  # when, and by whom
    ended: str
    percent: int
    compared: str  # up to this time
    held_up: str  # why it does not continue; empty if it does
    who: Text  # who is responsible
    going: int  # of those found: to be uploaded
    too_old: int
    kept_back: Sequence[tuple[str, int]]  # skipped by other rules
    known: int
    sample: Sequence[Line]
    waiting: int = 0  # calls of the period still in progress
    stopped: int = 0

    @property
    def stage(self) -> str:
        """The stage of the page: when it changes, its buttons change."""
        return f"{self.row.pk}-{self.row.state}-{'stopped' if self.row.stopped_at else ''}"

    @property
    def is_moving(self) -> bool:
        """Whether the display changes by itself."""
        return self.row.is_at_work or self.waiting > 0


def of(tenant: Tenant, *, now: datetime) -> Standing | None:
    """Return the state of the client's last import; cancelled previews without results do not count."""
    rows = Takeover.objects.filter(tenant=tenant).select_related("asked_by")
    row = rows.exclude(state=Takeover.State.CANCELLED, foreseen=0).first()
    if row is None:
        return None
    row.tenant = tenant
    rules = dict(row.skipped_by)
    too_old = rules.pop(KeptBack.TOO_OLD, 0)
    going = row.found - too_old - sum(rules.values())
    by = row.asked_by.get_username() if row.asked_by else ""
    return Standing(
        row=row,
        period=period(row),
        asked=", ".join(filter(None, [clock.said_at(tenant, row.asked_at, now=now), by])),
        ended=clock.said_at(tenant, row.ended_at, now=now),
        percent=int(row.share * 100),
        compared=clock.said_at(tenant, row.compared_until, now=now),
        held_up=_blocked_by(row, now=now),
        who=_who(row),
        going=going,
        too_old=too_old,
        kept_back=[(str(KeptBack(rule).label), count) for rule, count in sorted(rules.items())],
        known=max(0, row.uis_calls - row.found - row.unexplained),
        sample=[_line(tenant, said, now=now) for said in row.sample],
        **_progress(row),
    )


def in_short(tenant: Tenant) -> str:
    """Return the running import in one line; one query."""
    row = Takeover.objects.open().filter(tenant=tenant).first()
    if row is None:
        return ""
    row.tenant = tenant
    return f"{period(row)}, {row.get_state_display()}, {int(row.share * 100)} %"


def period(row: Takeover) -> str:
    """Return the days of an import."""
    first, last = (date_format(day, clock.DAY) for day in (row.first_day, row.last_day))
    return first if first == last else f"{first} – {last}"


def notices(tenant: Tenant) -> list[Notice]:
    """Return what blocks the upload of imported calls, and what they would lack in the CRM."""
    found = []
    if tenant.uis.denied_at:
        found.append(Notice(words.denial(tenant.uis.denied_code, tenant.uis.denied_says), Cause.UIS_DENIED.who.label))
    if tenant.crm.denied_at:
        message = gettext("Calls wait until the CRM grants access again.")
        found.append(
            Notice(
                f"{words.denial(tenant.crm.denied_code, tenant.crm.denied_says)} {message}", Cause.CRM_DENIED.who.label
            )
        )
    if tenant.is_paused:
        found.append(Notice(gettext("The client is paused: calls are imported, and uploaded after resuming.")))
    if unlinked := _unlinked(tenant):
        message = gettext(
            "Employees without a CRM user: %(count)d. Their calls get no manager, and cannot be changed later."
        )
        link = gettext("Link them first")
        found.append(Notice(message % {"count": unlinked}, page="admin:tenants_tenant_mapping", link=link))
    return found


def _unlinked(tenant: Tenant) -> int:
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False, crm_user_id=None)
    return staff.exclude(linked_by=Employee.LinkedBy.NOT_NEEDED).count()


def _blocked_by(row: Takeover, *, now: datetime) -> str:
    if row.stopped_at:
        return f"{Cause(row.cause).label}. {row.says}".strip()
    if row.cause == Cause.UIS_DENIED:
        known = dict(Denial.choices).get(row.code)
        message = gettext("It continues automatically within five minutes after the problem is fixed.")
        return f"{known or row.says} {message}"
    if row.cause == Cause.UIS_UNAVAILABLE:
        message = gettext("UIS could not be reached. It continues automatically (next attempt: %(moment)s).")
        if row.code == LIMIT:
            message = gettext(
                "The remaining UIS API points are reserved for today's calls. "
                "It continues automatically (next attempt: %(moment)s)."
            )
        return message % {"moment": clock.said_at(row.tenant, row.next_attempt_at, now=now)}
    return ""


def _who(row: Takeover) -> Text:
    needs_action = row.stopped_at is not None or row.cause == Cause.UIS_DENIED
    return Cause(row.cause).who.label if needs_action else ""


def _line(tenant: Tenant, call: dict[str, str], *, now: datetime) -> Line:
    rule = call["kept_back_by"]
    direction = str(Direction(call["direction"]).label) if call["direction"] in Direction.values else ""
    outcome = str(KeptBack(rule).label) if rule in KeptBack.values else gettext("to the CRM")
    return Line(clock.said_at(tenant, datetime.fromisoformat(call["at"]), now=now), direction, call["contact"], outcome)


def _progress(row: Takeover) -> dict[str, int]:
    """Count the pending and failed calls of the period, however they were found. Uses two indexes."""
    if row.state in {Takeover.State.LOOKING, Takeover.State.LOOKED}:
        return {}
    calls = Call.objects.filter(tenant=row.tenant, started_at__gte=row.since, started_at__lt=row.till)
    waiting = calls.filter(STANDINGS["waiting"], origin=Call.Origin.REPORT)
    return {"waiting": waiting.count(), "stopped": calls.filter(STANDINGS["failed"]).count()}
