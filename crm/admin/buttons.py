"""The buttons of a client's page, and the function that runs one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from crm.admin import acts, takeovers
from crm.admin.acts import Refused
from tenants import journal
from tenants.finding import Text
from tenants.journal import By
from tenants.models import Change, Tenant

Verb = Change.Verb


@dataclass(frozen=True, kw_only=True)
class Button:
    """One action on a client. Its functions take the client and the current time."""

    name: str
    label: Text
    verb: Change.Verb
    refusal: Callable[[Tenant, datetime], Text]  # empty if the action is possible
    act: Callable[[Tenant, datetime], str] = acts.nothing  # returns a message
    alone: Callable[[Tenant, datetime, By], str] | None = None  # instead of `act`: calls the CRM, audits itself
    warnings: tuple[Text, ...] = ()  # shown on a confirmation page; without them there is none
    confirm: Text = ""  # label of the confirm button
    look: str = "quiet"  # style: "main", "quiet" or "danger"
    page: str = ""  # URL name of the page that the button opens instead of running


def press(button: Button, pk: int, *, by: By, now: datetime) -> str:
    """Run the action once, write an audit entry, return a message. Raises Refused."""
    if button.alone is not None:  # No remote call inside a transaction.
        return button.alone(_allowed(button, pk, now=now), now, by)
    return _press(button, pk, by=by, now=now)


@transaction.atomic
def _press(button: Button, pk: int, *, by: By, now: datetime) -> str:
    Tenant.objects.select_for_update().get(pk=pk)  # A concurrent second press waits here, and is then refused.
    tenant = _allowed(button, pk, now=now)
    message = button.act(tenant, now)
    journal.note(tenant, button.verb, now=now, by=by)
    return message


def _allowed(button: Button, pk: int, *, now: datetime) -> Tenant:
    tenant = Tenant.objects.select_related("uis", "crm", "rules", "checkup", "activation").get(pk=pk)
    if refusal := button.refusal(tenant, now):
        raise Refused(str(refusal))
    return tenant


def offered(tenant: Tenant, *, now: datetime) -> list[Button]:
    return [button for button in BUTTONS.values() if not button.refusal(tenant, now)]


_ALL = (
    Button(name="check", label=_("Check now"), verb=Verb.CHECKED, refusal=acts.no_check, act=acts.check),
    Button(
        name="activate",
        label=_("Activate"),
        verb=Verb.ACTIVATED,
        refusal=acts.no_activation,
        act=acts.activate,
        look="main",
    ),
    Button(
        name="resume",
        label=_("Resume"),
        verb=Verb.RESUMED,
        refusal=acts.no_resuming,
        act=acts.resume,
        look="main",
    ),
    Button(name="sync", label=_("Sync now"), verb=Verb.SYNCED, refusal=acts.no_sync, act=acts.sync),
    Button(
        name="takeover",
        label=_("Import past calls"),
        verb=Verb.TAKE_OVER,
        refusal=acts.no_takeover,
        page=takeovers.NAME,
    ),
    Button(
        name="pause",
        label=_("Pause"),
        verb=Verb.PAUSED,
        refusal=acts.no_pause,
        act=acts.pause,
        confirm=_("Pause"),
        warnings=(
            _("No pop-ups open in the CRM, no calls are uploaded, and a click on a number starts no call."),
            _("Events from UIS are stored and processed after resuming; pop-ups are not shown later."),
        ),
    ),
    Button(
        name="link",
        label=_("New activation link"),
        verb=Verb.LINK_MADE,
        refusal=acts.no_link,
        act=acts.make_link,
        confirm=_("Create a new link"),
        warnings=(
            _("The old link stops working at once."),
            _("The new link is shown once and works for 14 days. Copy it and send it to the client."),
        ),
    ),
    Button(
        name="revoke",
        label=_("Revoke the activation link"),
        verb=Verb.LINK_REVOKED,
        refusal=acts.no_revoking,
        act=acts.revoke_link,
        confirm=_("Revoke the link"),
        warnings=(
            _("The client can no longer open their page with any link."),
            _("The set-up keeps working. A new link can be created at any time."),
        ),
    ),
    Button(
        name="rotate",
        label=_("Rotate webhook URL"),
        verb=Verb.HOOK_ROTATED,
        refusal=acts.no_rotation,
        act=acts.rotate,
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
    Button(
        name="withdraw",
        label=_("Revoke recording links"),
        verb=Verb.WITHDRAWN,
        refusal=acts.no_withdrawing,
        act=acts.withdraw_links,
        confirm=_("Revoke all links"),
        warnings=(
            _("The recording links sent to the CRM so far stop working. The recordings stay at UIS."),
            _("Calls uploaded from now on get working links, if the client's rules include recordings."),
            _("The links can be restored, all together here or one by one on the page of a call."),
        ),
    ),
    Button(
        name="give",
        label=_("Restore recording links"),
        verb=Verb.GIVEN_AGAIN,
        refusal=acts.no_giving,
        act=acts.give_links,
        confirm=_("Restore links"),
        warnings=(_("Links revoked together work again; those revoked one by one do not."),),
    ),
    Button(
        name="leave",
        label=_("Disconnect client"),
        verb=Verb.LEFT,
        refusal=acts.no_leaving,
        alone=acts.leave,
        confirm=_("Disconnect client"),
        look="danger",
        warnings=(
            _("UIS and the CRM no longer exchange data, and our module in the CRM is switched off."),
            _("After the retention period the client's calls and all other data are permanently deleted."),
            _("The keys are deleted at once. To return before the data is deleted: enter new keys, press Activate."),
        ),
    ),
)
BUTTONS = {button.name: button for button in _ALL}
