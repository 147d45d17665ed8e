"""The actions of a client's page, and the function that runs one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text
from connector_project.operations.admin import tenant_action_handlers
from connector_project.operations.admin.tenant_action_handlers import ActionNotAllowed
from tenants import audit
from tenants.audit import Actor
from tenants.models import AuditLogEntry, Tenant

AuditAction = AuditLogEntry.Action


@dataclass(frozen=True, kw_only=True)
class TenantAction:
    """One action on a client. Its functions take the client and the current time."""

    name: str
    label: Text
    audit_action: AuditLogEntry.Action
    refusal: Callable[[Tenant, datetime], Text]  # empty if the action is possible
    handler: Callable[[Tenant, datetime], str] = tenant_action_handlers.noop  # returns a message
    # Instead of `handler`: calls the CRM and writes its own audit entry.
    run_outside_transaction: Callable[[Tenant, datetime, Actor], str] | None = None
    warnings: tuple[Text, ...] = ()  # shown on a confirmation page; without them there is none
    confirm: Text = ""  # label of the confirm button
    css_class: str = "quiet"  # style: "main", "quiet" or "danger"
    page: str = ""  # URL name of the page that the button opens instead of running


def run(action: TenantAction, pk: int, *, by: Actor, now: datetime) -> str:
    """Run the action once, write an audit entry, return a message. Raises ActionNotAllowed."""
    if action.run_outside_transaction is not None:  # No remote call inside a transaction.
        return action.run_outside_transaction(_allowed(action, pk, now=now), now, by)
    return _run_in_transaction(action, pk, by=by, now=now)


@transaction.atomic
def _run_in_transaction(action: TenantAction, pk: int, *, by: Actor, now: datetime) -> str:
    Tenant.objects.select_for_update().get(pk=pk)  # A concurrent second request waits here, and is then refused.
    tenant = _allowed(action, pk, now=now)
    message = action.handler(tenant, now)
    audit.log(tenant, action.audit_action, now=now, by=by)
    return message


def _allowed(action: TenantAction, pk: int, *, now: datetime) -> Tenant:
    tenant = Tenant.objects.select_related("uis", "crm", "rules", "check_run", "activation").get(pk=pk)
    if refusal := action.refusal(tenant, now):
        raise ActionNotAllowed(str(refusal))
    return tenant


def available_actions(tenant: Tenant, *, now: datetime) -> list[TenantAction]:
    return [action for action in TENANT_ACTIONS.values() if not action.refusal(tenant, now)]


_ALL = (
    TenantAction(
        name="check",
        label=_("Check now"),
        audit_action=AuditAction.CHECKED,
        refusal=tenant_action_handlers.check_refusal,
        handler=tenant_action_handlers.check,
    ),
    TenantAction(
        name="activate",
        label=_("Activate"),
        audit_action=AuditAction.ACTIVATED,
        refusal=tenant_action_handlers.activate_refusal,
        handler=tenant_action_handlers.activate,
        css_class="main",
    ),
    TenantAction(
        name="resume",
        label=_("Resume"),
        audit_action=AuditAction.RESUMED,
        refusal=tenant_action_handlers.resume_refusal,
        handler=tenant_action_handlers.resume,
        css_class="main",
    ),
    TenantAction(
        name="sync",
        label=_("Sync now"),
        audit_action=AuditAction.SYNCED,
        refusal=tenant_action_handlers.sync_refusal,
        handler=tenant_action_handlers.sync,
    ),
    TenantAction(
        name="import",
        label=_("Import past calls"),
        audit_action=AuditAction.IMPORT_STARTED,
        refusal=tenant_action_handlers.import_refusal,
        page="telephony_bulkaction_import",
    ),
    TenantAction(
        name="pause",
        label=_("Pause"),
        audit_action=AuditAction.PAUSED,
        refusal=tenant_action_handlers.pause_refusal,
        handler=tenant_action_handlers.pause,
        confirm=_("Pause"),
        warnings=(
            _("No pop-ups open in the CRM, no calls are uploaded, and a click on a number starts no call."),
            _("Events from UIS are stored and processed after resuming; pop-ups are not shown later."),
        ),
    ),
    TenantAction(
        name="renew_link",
        label=_("New activation link"),
        audit_action=AuditAction.ACTIVATION_LINK_RENEWED,
        refusal=tenant_action_handlers.renew_link_refusal,
        handler=tenant_action_handlers.renew_link,
        confirm=_("Create a new link"),
        warnings=(
            _("The old link stops working at once."),
            _("The new link is shown once and works for 14 days. Copy it and send it to the client."),
        ),
    ),
    TenantAction(
        name="revoke_link",
        label=_("Revoke the activation link"),
        audit_action=AuditAction.ACTIVATION_LINK_REVOKED,
        refusal=tenant_action_handlers.revoke_link_refusal,
        handler=tenant_action_handlers.revoke_link,
        confirm=_("Revoke the link"),
        warnings=(
            _("The client can no longer open their page with any link."),
            _("The set-up keeps working. A new link can be created at any time."),
        ),
    ),
    TenantAction(
        name="rotate",
        label=_("Rotate webhook URL"),
        audit_action=AuditAction.HOOK_ROTATED,
        refusal=tenant_action_handlers.rotate_refusal,
        handler=tenant_action_handlers.rotate,
        confirm=_("Rotate webhook URL"),
        warnings=(
            _("UIS and the CRM send to a secret URL. Its secret part is replaced."),
            _("The CRM gets the new URL automatically."),
            _(
                "The client must enter the new URL in each notification in UIS within 24 hours; their page shows it. "
                "After that the old URL stops working, and calls are lost."
            ),
        ),
    ),
    TenantAction(
        name="revoke_recording_links",
        label=_("Revoke recording links"),
        audit_action=AuditAction.RECORDING_LINK_REVOKED,
        refusal=tenant_action_handlers.revoke_links_refusal,
        handler=tenant_action_handlers.revoke_links,
        confirm=_("Revoke all links"),
        warnings=(
            _("The recording links sent to the CRM so far stop working. The recordings stay at UIS."),
            _("Calls uploaded from now on get working links, if the client's rules include recordings."),
            _("The links can be restored, all together here or one by one on the page of a call."),
        ),
    ),
    TenantAction(
        name="restore_recording_links",
        label=_("Restore recording links"),
        audit_action=AuditAction.RECORDING_LINK_RESTORED,
        refusal=tenant_action_handlers.restore_links_refusal,
        handler=tenant_action_handlers.restore_links,
        confirm=_("Restore links"),
        warnings=(_("Links revoked together work again; those revoked one by one do not."),),
    ),
    TenantAction(
        name="disconnect",
        label=_("Disconnect client"),
        audit_action=AuditAction.OFFBOARDED,
        refusal=tenant_action_handlers.offboard_refusal,
        run_outside_transaction=tenant_action_handlers.offboard,
        confirm=_("Disconnect client"),
        css_class="danger",
        warnings=(
            _("UIS and the CRM no longer exchange data, and our module in the CRM is switched off."),
            _("After the retention period the client's calls and all other data are permanently deleted."),
            _("The keys are deleted at once. To return before the data is deleted: enter new keys, press Activate."),
        ),
    ),
)
TENANT_ACTIONS = {action.name: action for action in _ALL}
