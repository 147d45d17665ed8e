"""The actions of a client's page: when each is refused, what it warns of, what it does and what is shown afterwards."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from connector_project.core.task_queue import enqueue
from connector_project.operations import try_now
from connector_project.operations.admin.access_actions import ACCESS_ACTIONS
from connector_project.operations.admin.tenant_action import IF_OFFBOARDED, OFFBOARDED, Refusal, TenantAction
from connector_project.operations.checks import runner
from connector_project.operations.models import Activation
from connector_project.operations.onboarding import activation, offboarding, page_context
from telephony import task_names
from telephony.calls import sweep
from telephony.staff import sync
from tenants import remote_lists
from tenants.audit import Actor
from tenants.models import AuditLogEntry, Tenant

AuditAction = AuditLogEntry.Action


def _is_checking(tenant: Tenant, now: datetime) -> bool:
    return runner.is_running(getattr(tenant, "check_run", None), now=now)


def _is_activating(tenant: Tenant, _now: datetime) -> bool:
    row: Activation | None = getattr(tenant, "activation", None)
    return row is not None and row.state == Activation.State.RUNNING


def _is_healthy(tenant: Tenant, _now: datetime) -> bool:
    return activation.is_healthy(tenant, runner.stored_results(getattr(tenant, "check_run", None)))


def _resume(tenant: Tenant, now: datetime) -> None:
    tenant.resume()
    sweep.resume_due(tenant_id=tenant.pk, now=now)


def _disconnect(tenant: Tenant, now: datetime, by: Actor) -> str:
    return " ".join([str(OFFBOARDED), *offboarding.offboard(tenant, now=now, by=by).lines])


NO_KEYS = _("The keys are missing. Enter them below, or send the client the link.")
_IF_NOT_LIVE: Refusal = (lambda tenant, _now: not tenant.is_live, _("The client is not active."))
_ALL = (
    TenantAction(
        name="check",
        label=_("Check now"),
        audit_action=AuditAction.CHECKED,
        refusals=(IF_OFFBOARDED, (_is_checking, _("A check is already running."))),
        handler=lambda tenant, now: runner.request_run(tenant, now=now),
        done=_("The check is running; reload this page in a few seconds."),
    ),
    TenantAction(
        name="activate",
        label=_("Activate"),
        audit_action=AuditAction.ACTIVATED,
        refusals=(
            (_is_activating, _("Activation is already running.")),
            (lambda tenant, _now: tenant.is_paused, _("The client is paused. Resume first.")),
            (_is_healthy, _("The client is already active.")),
            (lambda tenant, _now: page_context.missing(tenant), NO_KEYS),
        ),
        handler=lambda tenant, now: activation.start(tenant, now=now),
        done=_("Activation started; reload this page in a few seconds."),
        css_class="main",
    ),
    TenantAction(
        name="resume",
        label=_("Resume"),
        audit_action=AuditAction.RESUMED,
        refusals=(IF_OFFBOARDED, (lambda tenant, _now: not tenant.is_paused, _("The client is not paused."))),
        handler=_resume,
        done=_("The client is active again; what was stored is being processed."),
        css_class="main",
    ),
    TenantAction(
        name="sync",
        label=_("Sync now"),
        audit_action=AuditAction.SYNCED,
        refusals=(_IF_NOT_LIVE, (lambda tenant, _now: tenant.uis.denied_at, _("UIS denies access. Fix that first."))),
        handler=lambda tenant, _now: enqueue(task_names.SYNC_EMPLOYEES, tenant.pk),
        done=_("Employees and numbers are being loaded; reload this page in a minute."),
    ),
    TenantAction(
        name="try_now",
        label=_("Try now"),
        audit_action=AuditAction.TRIED_NOW,
        refusals=(
            _IF_NOT_LIVE,
            (lambda tenant, now: not try_now.is_useful(tenant, now=now), _("Nothing of this client is waiting.")),
        ),
        handler=lambda tenant, now: try_now.end_waits(tenant, now=now),
        done=_("All that waited is being tried; reload this page in a minute."),
        warnings=(
            _("UIS and the CRM are asked again at once, whatever they told us to wait."),
            _("Use it when the reason is gone: a vendor answers again, points or an option were bought."),
        ),
    ),
    TenantAction(
        name="accept_lists",
        label=_("Accept the shorter list"),
        audit_action=AuditAction.LISTS_ACCEPTED,
        refusals=(
            _IF_NOT_LIVE,
            (lambda tenant, _now: not remote_lists.short_lists(tenant), _("No list is much shorter than before.")),
        ),
        handler=sync.accept_lists,
        done=_("What the next answer still lacks is removed; reload this page in a minute."),
        confirm=_("Accept"),
        warnings=(
            _(
                "The employees, numbers and statuses that UIS no longer lists, and the users that the CRM no longer "
                "lists, are removed. Removed people are unlinked and get no pop-ups."
            ),
            _("A right taken from the key also makes a list shorter. Check the rights in UIS and in the CRM first."),
        ),
    ),
    TenantAction(
        name="import",
        label=_("Import past calls"),
        audit_action=AuditAction.IMPORT_STARTED,
        refusals=(
            IF_OFFBOARDED,
            (
                lambda tenant, _now: tenant.activated_at is None,
                _("The client is not active yet. Activate first: then calls get the right managers."),
            ),
            (lambda tenant, _now: not tenant.uis.access_token, NO_KEYS),
        ),
        page="telephony_bulkaction_import",
    ),
    TenantAction(
        name="pause",
        label=_("Pause"),
        audit_action=AuditAction.PAUSED,
        refusals=(_IF_NOT_LIVE,),
        handler=lambda tenant, _now: tenant.pause(),
        done=_("The client is paused."),
        warnings=(
            _("No pop-ups open in the CRM, no calls are uploaded, and a click on a number starts no call."),
            _("Events from UIS are stored and processed after resuming; pop-ups are not shown later."),
        ),
    ),
    *ACCESS_ACTIONS,
    TenantAction(
        name="erase_number",
        label=_("Erase a phone number"),
        audit_action=AuditAction.NUMBER_ERASED,
        refusals=(),
        page="operations_erasure_start",
    ),
    TenantAction(
        name="disconnect",
        label=_("Disconnect client"),
        audit_action=AuditAction.OFFBOARDED,
        refusals=(IF_OFFBOARDED,),
        run_outside_transaction=_disconnect,
        asks_for_slug=True,
        consequences=offboarding.consequences,
        css_class="danger",
        warnings=(
            _("UIS and the CRM no longer exchange data, and our module in the CRM is switched off."),
            _("The keys are deleted at once. To return before the data is deleted: enter new keys, press Activate."),
        ),
    ),
)
TENANT_ACTIONS = {action.name: action for action in _ALL}
