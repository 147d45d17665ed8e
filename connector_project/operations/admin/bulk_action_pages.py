"""What the pages of a bulk action show: what it would do, what it has done, and what it waits for."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import phone_numbers
from connector_project.core.check_results import Text
from connector_project.core.filters import StrictFilterSet
from connector_project.core.redaction import redact
from connector_project.operations.admin.tenant_actions import TENANT_ACTIONS
from connector_project.operations.alerts import denials
from telephony import bulk_action_rows
from telephony.calls import filters
from telephony.models import BulkAction, Call, Direction, FailureReason
from telephony.models.daily_reconciliation import STATUS_CONDITIONS
from telephony.webhooks import status
from tenants import datetime_display, rule_labels
from tenants.audit import Actor
from tenants.models import Employee, Tenant
from tenants.transfer_rules import SkipReason
from tenants.visibility import Reader

SAMPLE = 5
MOST_CLIENTS = 20  # named in a preview
OF_SOME_CLIENTS = {"tenant", "tenant__id__exact", filters.PKS}  # the filters without which all clients are concerned
Kind = BulkAction.Kind
TITLES: Mapping[str, Text] = {
    Kind.RETRY: _("Retry all matching calls"),
    Kind.SKIP: _("Permanently skip all matching calls"),
    Kind.REPROCESS: _("Reprocess unreadable notifications"),
    Kind.IMPORT: _("Import past calls"),
}
DESCRIPTIONS: Mapping[str, Text] = {
    Kind.RETRY: _(
        "Calls continue from their current step; skipped calls are re-evaluated with the current rules. No call gets a "
        "second record in the CRM; calls that a worker is processing are left unchanged."
    ),
    Kind.SKIP: _("These calls will not be sent to the CRM unless somebody presses “Retry” later."),
    Kind.REPROCESS: _(
        "Notifications that can be parsed now are processed as usual; old calls open no pop-up. The others stay here."
    ),
}
UNFILTERED = _("Select rows or set a filter first: this action is not offered for everything at once.")
UNCHANGED: Mapping[str, Text] = {
    Kind.RETRY: _("Left unchanged: calls that changed after the request, and those that a worker was processing."),
    Kind.SKIP: _("Left unchanged: calls that changed after the request, and those that a worker was processing."),
    Kind.REPROCESS: _("Left unchanged: notifications that still cannot be parsed, and those already processed."),
}
WAITS: Mapping[FailureReason, Text] = {
    FailureReason.UIS_DENIED: _("It continues automatically within five minutes after the problem is fixed."),
    FailureReason.UIS_UNAVAILABLE: _(
        "UIS could not be reached. It continues automatically (next attempt: %(moment)s)."
    ),
    FailureReason.UIS_QUOTA: _(
        "The remaining UIS API points are reserved for today's calls. "
        "It continues automatically (next attempt: %(moment)s)."
    ),
}


def preview(kind: str, filter_set: StrictFilterSet, *, by: Actor) -> dict[str, Any]:
    """Return what an action on rows would do: the number of rows, by client and state, and a sample."""
    limit, now = bulk_action_rows.max_rows(by), timezone.now()
    total = bulk_action_rows.count(filter_set.qs, limit=limit)
    is_too_large, is_narrowed = total > limit, bulk_action_rows.is_narrowed(filter_set.data)
    found = filter_set.qs.none() if is_too_large else filter_set.qs
    counted, field = ngettext("%(count)d call", "%(count)d calls", total), "state"
    if kind == Kind.REPROCESS:
        counted, field = ngettext("%(count)d notification", "%(count)d notifications", total), "reason"
    counted %= {"count": total}
    labels = dict(found.model._meta.get_field(field).flatchoices)
    counts = found.order_by().values_list(field).annotate(Count("pk")).order_by(field)
    return {
        "title": TITLES[kind],
        "facts": describe_filters(filter_set),
        "description": DESCRIPTIONS[kind],
        "total": total,
        "max_rows": limit if is_too_large else None,
        "refusal": "" if is_narrowed else UNFILTERED,
        "is_of_all_clients": not filter_set.data.keys() & OF_SOME_CLIENTS,
        "clients": (by_client := bulk_action_rows.count_by_tenant(found))[:MOST_CLIENTS],
        "other_clients": len(by_client[MOST_CLIENTS:]),
        "other_rows": sum(count for _name, count in by_client[MOST_CLIENTS:]),
        "counted": counted,
        "counts": [(labels.get(code, code), count) for code, count in counts],
        "sample": [_line(row, now=now) for row in found.select_related("tenant")[:SAMPLE]],
        "submit": f"{TITLES[kind]}: {counted}" if total and is_narrowed and not is_too_large else "",
        "is_final": kind == Kind.SKIP,
    }


def describe(action: BulkAction, *, reader: Reader, now: datetime) -> dict[str, Any]:
    """Return the progress and result of an action; of a previewed import, what it would do."""
    is_stuck = action.failed_at is not None or action.reason == FailureReason.UIS_DENIED
    page = {
        "action": action,
        "title": TITLES[action.kind],
        "reason": redact(action.comment),
        "percent": int(action.share * 100),
        "is_moving": action.is_active,
        "unchanged_text": UNCHANGED.get(action.kind, ""),
        "blocked": _blocked_by(action, now=now),
        "responsible": FailureReason(action.reason).responsible.label if is_stuck else "",
        "requested": datetime_display.format_short(action.tenant, action.requested_at, now=now),
        "ended": datetime_display.format_short(action.tenant, action.ended_at, now=now),
    }
    if action.tenant is not None:
        return page | _describe_import(action, action.tenant, now=now)
    filter_set = bulk_action_rows.filter_set(action.kind, action.filters, reader=reader)
    return page | {"facts": describe_filters(filter_set)}


def describe_filters(filter_set: StrictFilterSet) -> list[tuple[str, str]]:
    """Return the labels and values of the filters.

    Other users can see a bulk action too, so a number that was searched for is masked.
    """
    chosen, shown = filter_set.data, []
    for name, field in filter_set.form.fields.items():
        if (value := chosen.get(name, "")) and name != filters.PKS:
            value = filters.mask_search_term(value) if name in filters.SEARCHES else value
            labels = (str(label) for key, label in getattr(field.widget, "choices", ()) if str(key) == value)
            if label := next(labels, value):
                shown.append((str(field.label), label))
    if pks := chosen.get(filters.PKS):
        shown.append((gettext("Selected"), str(len(pks.split(",")))))
    return shown


def period(days: Mapping[str, str]) -> str:
    """Return the days of an import."""
    first, last = (date_format(date.fromisoformat(days[name]), datetime_display.DAY) for name in ("first", "last"))
    return first if first == last else f"{first} – {last}"


def open_import(tenant: Tenant) -> str:
    """Return the client's open import in one line; "" if there is none. One query."""
    action = BulkAction.objects.open().filter(tenant=tenant).first()
    return f"{period(action.filters)}, {action.status}, {int(action.share * 100)} %" if action else ""


def import_hints(tenant: Tenant, *, now: datetime) -> dict[str, Any]:
    """Return what prevents an import, what blocks the upload of the calls, and what they would lack in the CRM."""
    notices: list[tuple[str, Text]] = []  # message, and who must act
    uis, crm = tenant.uis, tenant.crm
    notices += [(one.message, one.responsible.label) for one in denials.of_connection(uis)]
    for one in denials.of_connection(crm):
        waits = gettext("Calls wait until the CRM grants access again.")
        notices.append((f"{one.message} {waits}", one.responsible.label))
    if tenant.is_paused:
        notices.append((gettext("The client is paused: calls are imported, and uploaded after resuming."), ""))
    return {
        "title": TITLES[Kind.IMPORT],
        "facts": [(gettext("Client"), tenant)],
        "tenant": tenant,
        "refusal": TENANT_ACTIONS["import"].refusal(tenant, now),
        "upload_window_start": datetime_display.day(tenant, tenant.upload_window_start(now=now)),
        "notices": notices,
        "unlinked": Employee.objects.filter(tenant=tenant).unlinked().count(),
        "back": reverse("admin:tenants_tenant_change", args=[tenant.pk]),
    }


def _describe_import(action: BulkAction, tenant: Tenant, *, now: datetime) -> dict[str, Any]:
    """Return what an import found, by rule, and which calls of its period are pending or failed, however found."""
    rules = dict(action.skipped_by)
    too_old = rules.pop(SkipReason.EXPIRED, 0)
    since, compared, till = action.period
    calls = Call.objects.filter(tenant=tenant, started_at__gte=since, started_at__lt=till)
    if action.is_preview:
        calls = calls.none()
    waiting = calls.filter(STATUS_CONDITIONS["waiting"], origin=Call.Origin.REPORT).count()
    facts = [(gettext("Client"), tenant), (gettext("Days to import"), period(action.filters))]
    left_out = rules.pop(SkipReason.NOT_IMPORTED, 0)
    return import_hints(tenant, now=now) | {
        "facts": [*facts, *([] if action.is_preview else [(gettext("Calls to import"), action.import_choice.label)])],
        "compared": datetime_display.format_short(tenant, compared, now=now),
        "to_upload": action.done - too_old - left_out - sum(rules.values()),
        "left_out": left_out,
        "too_old": too_old,
        "skipped": [(rule_labels.label(SkipReason(rule)), count) for rule, count in sorted(rules.items())],
        "sample": [_sample_line(tenant, call, now=now) for call in action.sample],
        "waiting": waiting,
        "failed": calls.filter(STATUS_CONDITIONS["failed"]).count(),
        "is_moving": action.is_active or waiting > 0,
    }


def _blocked_by(action: BulkAction, *, now: datetime) -> str:
    """Return why the action does not continue; "" if it does."""
    reason = FailureReason(action.reason)
    if action.failed_at:
        return f"{reason.label}. {action.detail}".strip()
    if not action.is_active or reason not in WAITS:
        return ""
    denial = denials.describe(action.code, action.detail) if reason == FailureReason.UIS_DENIED else ""
    moment = datetime_display.format_short(action.tenant, action.next_attempt_at, now=now)
    return f"{denial} {str(WAITS[reason]) % {'moment': moment}}".strip()


def _line(row: Any, *, now: datetime) -> str:
    """Return one row of the sample as a line; numbers are always masked."""
    if isinstance(row, Call):
        moment, outcome = row.started_at, f"{phone_numbers.mask(row.contact) or '–'} · {row.get_state_display()}"
    else:
        moment, outcome = row.received_at, status.event_label(row.event_in_url) or "–"
    return f"{datetime_display.format_short(row.tenant, moment, now=now)} · {row.tenant} · {outcome}"


def _sample_line(tenant: Tenant, call: Mapping[str, str], *, now: datetime) -> str:
    """Return a call that an import found as a line."""
    moment = datetime_display.format_short(tenant, datetime.fromisoformat(call["at"]), now=now)
    direction = dict(Direction.choices).get(call["direction"], "")
    outcome = dict(rule_labels.skip_reasons()).get(call["skip_reason"]) or gettext("to the CRM")
    return f"{moment} · {direction} {call['contact']} · {outcome}"
