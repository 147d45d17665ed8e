"""The view model of an import of past calls: what was found, its progress, and what blocks it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext

from connector_project.core.admin.base import Text
from connector_project.operations.alerts import denials
from telephony.models import Call, CallImport, Direction, FailureReason
from telephony.models.daily_reconciliation import STATUS_CONDITIONS
from telephony.uis.errors import LIMIT
from tenants import datetime_display
from tenants.models import AccessError, Employee, Tenant
from tenants.transfer_rules import SkipReason


@dataclass(frozen=True)
class Line:
    """A call of the sample."""

    at: str
    direction: str
    contact: str
    outcome: str


@dataclass(frozen=True)
class Notice:
    """A warning before an import, who is responsible, and the page (URL name) to fix it."""

    message: str
    responsible: Text = ""
    page: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class CallImportStatus:
    """The state of an import, ready for display."""

    row: CallImport
    period: str
    requested: str  # when, and by whom
    ended: str
    percent: int
    compared: str  # up to this time
    blocked: str  # why it does not continue; empty if it does
    responsible: Text  # who is responsible
    to_upload: int  # of those found: to be uploaded
    too_old: int
    skipped: Sequence[tuple[str, int]]  # skipped by other rules
    known: int
    sample: Sequence[Line]
    waiting: int = 0  # calls of the period still in progress
    failed: int = 0

    @property
    def stage(self) -> str:
        """The stage of the page: when it changes, its buttons change."""
        return f"{self.row.pk}-{self.row.state}-{'failed' if self.row.failed_at else ''}"

    @property
    def is_moving(self) -> bool:
        """Whether the display changes by itself."""
        return self.row.is_active or self.waiting > 0


def build_status(tenant: Tenant, *, now: datetime) -> CallImportStatus | None:
    """Return the state of the client's last import; cancelled previews without results do not count."""
    rows = CallImport.objects.filter(tenant=tenant).select_related("requested_by")
    row = rows.exclude(state=CallImport.State.CANCELLED, preview_count=0).first()
    if row is None:
        return None
    row.tenant = tenant
    rules = dict(row.skipped_by)
    too_old = rules.pop(SkipReason.EXPIRED, 0)
    to_upload = row.found - too_old - sum(rules.values())
    by = row.requested_by.get_username() if row.requested_by else ""
    return CallImportStatus(
        row=row,
        period=period(row),
        requested=", ".join(filter(None, [datetime_display.format_short(tenant, row.requested_at, now=now), by])),
        ended=datetime_display.format_short(tenant, row.ended_at, now=now),
        percent=int(row.share * 100),
        compared=datetime_display.format_short(tenant, row.cursor_at, now=now),
        blocked=_blocked_by(row, now=now),
        responsible=_responsible(row),
        to_upload=to_upload,
        too_old=too_old,
        skipped=[(str(SkipReason(rule).label), count) for rule, count in sorted(rules.items())],
        known=max(0, row.uis_calls - row.found - row.unexplained),
        sample=[_line(tenant, call, now=now) for call in row.sample],
        **_progress(row),
    )


def in_short(tenant: Tenant) -> str:
    """Return the running import in one line; one query."""
    row = CallImport.objects.open().filter(tenant=tenant).first()
    if row is None:
        return ""
    row.tenant = tenant
    return f"{period(row)}, {row.get_state_display()}, {int(row.share * 100)} %"


def period(row: CallImport) -> str:
    """Return the days of an import."""
    first, last = (date_format(day, datetime_display.DAY) for day in (row.first_day, row.last_day))
    return first if first == last else f"{first} – {last}"


def find_notices(tenant: Tenant) -> list[Notice]:
    """Return what blocks the upload of imported calls, and what they would lack in the CRM."""
    notices = []
    if tenant.uis.denied_at:
        notices.append(
            Notice(
                denials.describe(tenant.uis.denied_code, tenant.uis.denied_detail),
                FailureReason.UIS_DENIED.responsible.label,
            )
        )
    if tenant.crm.denied_at:
        message = gettext("Calls wait until the CRM grants access again.")
        notices.append(
            Notice(
                f"{denials.describe(tenant.crm.denied_code, tenant.crm.denied_detail)} {message}",
                FailureReason.CRM_DENIED.responsible.label,
            )
        )
    if tenant.is_paused:
        notices.append(Notice(gettext("The client is paused: calls are imported, and uploaded after resuming.")))
    if unlinked := Employee.objects.filter(tenant=tenant).unlinked().count():
        message = gettext(
            "Employees without a CRM user: %(count)d. Their calls get no manager, and cannot be changed later."
        )
        link = gettext("Link them first")
        notices.append(Notice(message % {"count": unlinked}, page="admin:tenants_tenant_employee_mapping", link=link))
    return notices


def _blocked_by(row: CallImport, *, now: datetime) -> str:
    if row.failed_at:
        return f"{FailureReason(row.reason).label}. {row.detail}".strip()
    if row.reason == FailureReason.UIS_DENIED:
        known = dict(AccessError.choices).get(row.code)
        message = gettext("It continues automatically within five minutes after the problem is fixed.")
        return f"{known or row.detail} {message}"
    if row.reason == FailureReason.UIS_UNAVAILABLE:
        message = gettext("UIS could not be reached. It continues automatically (next attempt: %(moment)s).")
        if row.code == LIMIT:
            message = gettext(
                "The remaining UIS API points are reserved for today's calls. "
                "It continues automatically (next attempt: %(moment)s)."
            )
        return message % {"moment": datetime_display.format_short(row.tenant, row.next_attempt_at, now=now)}
    return ""


def _responsible(row: CallImport) -> Text:
    needs_action = row.failed_at is not None or row.reason == FailureReason.UIS_DENIED
    return FailureReason(row.reason).responsible.label if needs_action else ""


def _line(tenant: Tenant, call: dict[str, str], *, now: datetime) -> Line:
    rule = call["skip_reason"]
    direction = str(Direction(call["direction"]).label) if call["direction"] in Direction.values else ""
    outcome = str(SkipReason(rule).label) if rule in SkipReason.values else gettext("to the CRM")
    return Line(
        datetime_display.format_short(tenant, datetime.fromisoformat(call["at"]), now=now),
        direction,
        call["contact"],
        outcome,
    )


def _progress(row: CallImport) -> dict[str, int]:
    """Count the pending and failed calls of the period, however they were found. Uses two indexes."""
    if row.state in {CallImport.State.PREVIEWING, CallImport.State.PREVIEWED}:
        return {}
    calls = Call.objects.filter(tenant=row.tenant, started_at__gte=row.since, started_at__lt=row.till)
    waiting = calls.filter(STATUS_CONDITIONS["waiting"], origin=Call.Origin.REPORT)
    return {"waiting": waiting.count(), "failed": calls.filter(STATUS_CONDITIONS["failed"]).count()}
