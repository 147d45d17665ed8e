"""The buttons of a client's page: the list of them, and the one way to press one."""

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
    """One thing that can be done to a client. Both functions take the client and the moment."""

    name: str
    label: Text
    verb: Change.Verb
    refusal: Callable[[Tenant, datetime], Text]  # empty where it may be pressed
    act: Callable[[Tenant, datetime], str] = acts.nothing  # returns what to say afterwards
    alone: Callable[[Tenant, datetime, By], str] | None = None  # instead of `act`: asks the CRM, writes its own row
    warnings: tuple[Text, ...] = ()  # what a person must know before; with them he is asked first
    confirm: Text = ""  # what the button says that answers yes
    look: str = "quiet"  # how it looks: "main", "quiet" or "danger"
    page: str = ""  # the name of a page of its own, where it leads instead of being pressed


def press(button: Button, pk: int, *, by: By, now: datetime) -> str:
    """Do what the button says, once, and write down who did; return what to say. Raises Refused."""
    if button.alone is not None:  # No remote call inside a transaction.
        return button.alone(_allowed(button, pk, now=now), now, by)
    return _press(button, pk, by=by, now=now)


@transaction.atomic
def _press(button: Button, pk: int, *, by: By, now: datetime) -> str:
    Tenant.objects.select_for_update().get(pk=pk)  # A second press waits here, and then finds the first one done.
    tenant = _allowed(button, pk, now=now)
    said = button.act(tenant, now)
    journal.note(tenant, button.verb, now=now, by=by)
    return said


def _allowed(button: Button, pk: int, *, now: datetime) -> Tenant:
    tenant = Tenant.objects.select_related("uis", "crm", "rules", "checkup", "activation").get(pk=pk)
    if why := button.refusal(tenant, now):
        raise Refused(str(why))
    return tenant


def offered(tenant: Tenant, *, now: datetime) -> list[Button]:
    """Return the buttons that make sense for this client now."""
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
        label=_("Take over earlier calls"),
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
            _("No card opens in the CRM, no call is uploaded, and a click on a number there starts no call."),
            _("Whatever UIS tells is kept and worked off when the client is resumed; cards are not made up for."),
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
            _("The link made before stops working at once."),
            _("The new one is shown once, right after this, and works for 14 days. Copy it and hand it to the client."),
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
            _("The client can no longer open his page, by whichever link he has."),
            _("What is set up goes on working. A new link can be made at any time."),
        ),
    ),
    Button(
        name="rotate",
        label=_("Change the secret address"),
        verb=Verb.HOOK_ROTATED,
        refusal=acts.no_rotation,
        act=acts.rotate,
        confirm=_("Change the address"),
        warnings=(
            _("UIS and the CRM reach us at an address that nobody else knows. It gets a new secret part."),
            _("The CRM is told by itself."),
            _(
                "The client must type the new address into each notification in UIS within 24 hours; his page shows it."
                " After that the old one is not heard any more, and calls are lost."
            ),
        ),
    ),
    Button(
        name="withdraw",
        label=_("Withdraw the recording links"),
        verb=Verb.WITHDRAWN,
        refusal=acts.no_withdrawing,
        act=acts.withdraw_links,
        confirm=_("Withdraw all links"),
        warnings=(
            _("No link of ours that the CRM has got until now opens a recording any more. The recordings stay at UIS."),
            _("Calls uploaded from now on get links that work, unless the client's rule says otherwise."),
            _("The links can be given again, all together here or one by one on the page of a call."),
        ),
    ),
    Button(
        name="give",
        label=_("Give the recording links again"),
        verb=Verb.GIVEN_AGAIN,
        refusal=acts.no_giving,
        act=acts.give_links,
        confirm=_("Give them again"),
        warnings=(_("The links that were withdrawn together work again; those withdrawn one by one do not."),),
    ),
    Button(
        name="leave",
        label=_("The client leaves"),
        verb=Verb.LEFT,
        refusal=acts.no_leaving,
        alone=acts.leave,
        confirm=_("Yes, switch the client off"),
        look="danger",
        warnings=(
            _("Nothing more passes between UIS and the CRM, and our module in the CRM is switched off."),
            _("When the client's term is over, his calls and all else that we keep of him are deleted for good."),
            _("The keys are deleted at once. Until then he can come back: enter new keys, press Activate."),
        ),
    ),
)
BUTTONS = {button.name: button for button in _ALL}
