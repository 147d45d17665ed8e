"""How a takeover of earlier calls stands, in words: what was found, what becomes of it, what it waits for."""

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
    """One call of the sample."""

    at: str
    direction: str
    contact: str
    fate: str


@dataclass(frozen=True)
class Notice:
    """Something a person should know before he takes calls over, who must act, and the page where (its name)."""

    says: str
    who: Text = ""
    page: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """All a page says of one takeover."""

    row: Takeover
    period: str
    asked: str  # when, and by whom
    ended: str
    percent: int
    compared: str  # up to which moment
    held_up: str  # why it does not go on; empty where it does
    who: Text  # who must act
    going: int  # of those found: to the CRM
    too_old: int
    kept_back: Sequence[tuple[str, int]]  # by another rule than the term
    known: int
    sample: Sequence[Line]
    waiting: int = 0  # calls of the period still on their way
    stopped: int = 0

    @property
    def stage(self) -> str:
        """What the page around depends on: when it changes, there are other buttons."""
        return f"{self.row.pk}-{self.row.state}-{'stopped' if self.row.stopped_at else ''}"

    @property
    def is_moving(self) -> bool:
        """Whether it is another one in a moment."""
        return self.row.is_at_work or self.waiting > 0


def of(tenant: Tenant, *, now: datetime) -> Standing | None:
    """Return how the client's last takeover stands; a look that came to nothing is no takeover."""
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
        held_up=_held_up(row, now=now),
        who=_who(row),
        going=going,
        too_old=too_old,
        kept_back=[(str(KeptBack(rule).label), count) for rule, count in sorted(rules.items())],
        known=max(0, row.uis_calls - row.found - row.unexplained),
        sample=[_line(tenant, said, now=now) for said in row.sample],
        **_on_their_way(row),
    )


def in_short(tenant: Tenant) -> str:
    """Return in one line what is being taken over at this moment; one query."""
    row = Takeover.objects.open().filter(tenant=tenant).first()
    if row is None:
        return ""
    row.tenant = tenant
    return f"{period(row)}, {row.get_state_display()}, {int(row.share * 100)} %"


def period(row: Takeover) -> str:
    """Return the days of a takeover, by the client's clock."""
    first, last = (date_format(day, clock.DAY) for day in (row.first_day, row.last_day))
    return first if first == last else f"{first} – {last}"


def notices(tenant: Tenant) -> list[Notice]:
    """Return what stands in the way of taken calls on their way to the CRM, and what they would lack there."""
    found = []
    if tenant.uis.denied_at:
        found.append(Notice(words.denial(tenant.uis.denied_code, tenant.uis.denied_says), Cause.UIS_DENIED.who.label))
    if tenant.crm.denied_at:
        says = gettext("Calls wait until the CRM lets us in.")
        found.append(
            Notice(f"{words.denial(tenant.crm.denied_code, tenant.crm.denied_says)} {says}", Cause.CRM_DENIED.who.label)
        )
    if tenant.is_paused:
        found.append(Notice(gettext("The client is paused: calls are taken over, and sent when he is resumed.")))
    if unlinked := _unlinked(tenant):
        says = gettext(
            "Employees without a CRM user: %(count)d. Their calls get no manager, and cannot be changed later."
        )
        link = gettext("Bind them first")
        found.append(Notice(says % {"count": unlinked}, page="admin:tenants_tenant_mapping", link=link))
    return found


def _unlinked(tenant: Tenant) -> int:
    staff = Employee.objects.filter(tenant=tenant, is_dismissed=False, crm_user_id=None)
    return staff.exclude(linked_by=Employee.LinkedBy.NOT_NEEDED).count()


def _held_up(row: Takeover, *, now: datetime) -> str:
    if row.stopped_at:
        return f"{Cause(row.cause).label}. {row.says}".strip()
    if row.cause == Cause.UIS_DENIED:
        known = dict(Denial.choices).get(row.code)
        says = gettext("It goes on by itself within five minutes once that is put right.")
        return f"{known or row.says} {says}"
    if row.cause == Cause.UIS_UNAVAILABLE:
        says = gettext("UIS could not be reached. It goes on by itself (next try: %(moment)s).")
        if row.code == LIMIT:
            says = gettext(
                "What is left of UIS's points is kept for calls of today. It goes on by itself (next try: %(moment)s)."
            )
        return says % {"moment": clock.said_at(row.tenant, row.next_attempt_at, now=now)}
    return ""


def _who(row: Takeover) -> Text:
    is_somebodys = row.stopped_at is not None or row.cause == Cause.UIS_DENIED
    return Cause(row.cause).who.label if is_somebodys else ""


def _line(tenant: Tenant, said: dict[str, str], *, now: datetime) -> Line:
    rule = said["kept_back_by"]
    direction = str(Direction(said["direction"]).label) if said["direction"] in Direction.values else ""
    fate = str(KeptBack(rule).label) if rule in KeptBack.values else gettext("to the CRM")
    return Line(clock.said_at(tenant, datetime.fromisoformat(said["at"]), now=now), direction, said["contact"], fate)


def _on_their_way(row: Takeover) -> dict[str, int]:
    """Count what is left to do of the calls of this period, however they were found. Two indexes, nothing else."""
    if row.state in {Takeover.State.LOOKING, Takeover.State.LOOKED}:
        return {}
    calls = Call.objects.filter(tenant=row.tenant, started_at__gte=row.since, started_at__lt=row.till)
    waiting = calls.filter(STANDINGS["waiting"], origin=Call.Origin.REPORT)
    return {"waiting": waiting.count(), "stopped": calls.filter(STANDINGS["failed"]).count()}
