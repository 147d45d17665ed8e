"""Different clients: their accounts at both vendors, their employees, their rules."""

import itertools
import random
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from connector_project.operations.onboarding import steps
from crm.employee_mapping import actions as mapping
from tenants import onboarding
from tenants.models import CrmUser, Employee, Tenant, VirtualNumber
from tests.fakes import retailcrm, uis
from tests.rules import publish_rules

FIRST_SESSION = 5139032004  # the same in every account: session ids are unique per client only
ZONES = ("Europe/Moscow", "Europe/Moscow", "Asia/Yekaterinburg", "Asia/Vladivostok", "Europe/Kaliningrad")
FIRST_EXTRA_USER = 10  # before those of people
ABROAD = ("America/New_York", "Europe/Madrid", "Asia/Kolkata")


@dataclass(frozen=True)
class Person:
    """An employee with a phone."""

    uis_id: int
    extension: str
    mobile: str
    user_id: int | None  # in the CRM
    recorded: str
    is_linked_by_hand: bool = False


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The client's rules."""

    owner: str = "LAST_TALKER"
    missed_owner: str = "LAST_RUNG"
    off: frozenset[str] = frozenset()  # of answered, missed, outgoing, internal
    number: tuple[str, frozenset[str]] = ("ALL", frozenset())
    employee: tuple[str, frozenset[int]] = ("ALL", frozenset())
    contact: tuple[str, frozenset[str]] = ("ALL", frozenset())
    send_recording: bool = True
    recording_wait: int = 10
    status_sync: str = "CRM_TO_UIS"
    field_map: str = ""  # one of FIELD_MAPS


# What the field maps of versions do; without the contact's number, which no expectation masks.
FIELD_MAPS: dict[str, list[dict[str, Any]]] = {
    "": [],
    "source": [
        {"target": "upload.source.source", "facts": ["constant"], "constant": "phone"},
        {"target": "upload.source.content", "facts": ["contact"], "form": "last_four"},
        {"target": "popup.campaign", "facts": ["constant"], "constant": "Spring"},
    ],
    "leaves out": [
        {
            "target": "upload.phone",
            "facts": ["contact"],
            "form": "leave_the_record_out",
            "subject": "direction",
            "values": ["out"],
        },
        {"target": "upload.source.keyword", "facts": ["contact"], "form": "hash"},
    ],
}


@dataclass
class ChaosTenant:
    """One client."""

    order: int
    pbx: uis.Account = field(repr=False)
    crm: retailcrm.Account = field(repr=False)
    people: list[Person]
    numbers: list[str]
    choices: Choices
    form: str  # of notifications: flat or query
    row: Tenant = field(init=False, repr=False)
    contacts: "itertools.count[int]" = field(default_factory=itertools.count, repr=False)
    versions: dict[int, Choices] = field(default_factory=dict, repr=False)  # what was published, by number

    @property
    def slug(self) -> str:
        return f"tenant-{self.order:02d}"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the CRM account."""
        return ZoneInfo(self.crm.timezone)

    def person(self, uis_id: int | None) -> Person | None:
        """Return an employee by their UIS id."""
        return next((person for person in self.people if person.uis_id == uis_id), None)

    def new_contact(self) -> str:
        """Return the number of a new customer, who calls nobody else."""
        # After an area of the USA come no numbers below 200.
        area = f"1212{self.order + 200:03d}" if self.pbx.brand == "callgear" else f"7916{self.order:03d}"
        return f"{area}{next(self.contacts):04d}"

    def hook(self) -> str:
        """Return the path of the client's webhook URL."""
        return f"/hooks/uis/{self.row.uis.hook}/"


def create_tenant(
    order: int, rng: random.Random, *, pbx_world: uis.FakeUis, crm_world: retailcrm.FakeRetailCrm
) -> ChaosTenant:
    """Create the accounts of a client at both vendors."""
    brand = rng.choice(["uis", "uis", "comagic", "novofon", "callgear"])
    zone = rng.choice(ABROAD if brand == "callgear" else ZONES)
    pbx = pbx_world.add_account(f"token-{order:02d}", name=f"Магазин {order}", timezone=zone, brand=brand)
    pbx.session_ids = itertools.count(FIRST_SESSION)
    pbx.refuses_in_operator = rng.random() < 0.2
    pbx.has_statuses = rng.random() < 0.8
    crm_zone = zone if rng.random() < 0.7 else rng.choice(ZONES)
    crm = crm_world.add_account(f"tenant-{order:02d}.retailcrm.ru", key=f"key{order:029d}", timezone=crm_zone)
    crm.serves_v5 = rng.random() < 0.85
    crm.serves_calls_list = rng.random() < 0.7
    # The first client's list of users has two pages.
    for extra in range(100 if order == 1 else 0):
        crm.add_user(FIRST_EXTRA_USER + extra, first_name="Вне", last_name=f"Телефонии{extra}")
    people = [_add_person(pbx, crm, order, index, rng) for index in range(rng.randint(3, 6))]
    numbers = [f"{'1646' if brand == 'callgear' else '7495'}{order:03d}{n:04d}" for n in range(rng.randint(1, 3))]
    for number in numbers:
        pbx.add_number(number)
    choices = _draw_rules(rng, people, numbers)
    return ChaosTenant(order, pbx, crm, people, numbers, choices, form=rng.choice(["flat", "flat", "flat", "query"]))


def _add_person(pbx: uis.Account, crm: retailcrm.Account, order: int, index: int, rng: random.Random) -> Person:
    has_user, recorded = rng.random() < 0.8, rng.choice(["all", "all", "all", "in", "off"])
    user_id = 100 * order + index + 27 if has_user else None
    is_by_hand = index == 0 and has_user  # their name and e-mail are others in the CRM
    person = Person(300001 + index, str(101 + index), f"7903{order:03d}{index:04d}", user_id, recorded, is_by_hand)
    email = f"person{index}@tenant{order}.example.com"
    pbx.add_employee(
        person.uis_id,
        f"Иванов{index} Иван",
        extension=person.extension,
        email=email,
        numbers=[person.mobile],
        call_recording=recorded,
    )
    if user_id is not None:
        email, name = ("office@example.com", "Офис") if is_by_hand else (email, "Иван")
        crm.add_user(user_id, first_name=name, last_name=f"Иванов{index}", email=email)
    return person


def _draw_rules(rng: random.Random, people: list[Person], numbers: list[str]) -> Choices:
    """Draw the client's rules; most stay at their defaults."""
    kinds = [kind for kind in ("answered", "missed", "outgoing") if rng.random() < 0.04]
    internal = ["internal"] if rng.random() < 0.7 else []
    employee_ids = frozenset(person.uis_id for person in rng.sample(people, 2))
    return Choices(
        owner=rng.choice(["LAST_TALKER", "LAST_TALKER", "FIRST_TALKER", "LONGEST_TALKER"]),
        missed_owner=rng.choice(["LAST_RUNG", "LAST_RUNG", "RESPONSIBLE", "NOBODY"]),
        off=frozenset([*kinds, *internal]),
        number=(rng.choices(["ALL", "ONLY", "EXCEPT"], [10, 1, 1])[0], frozenset(numbers[:1])),
        employee=(rng.choices(["ALL", "ONLY", "EXCEPT"], [8, 1, 1])[0], employee_ids),
        contact=("EXCEPT", frozenset(person.mobile for person in people)) if rng.random() < 0.3 else Choices.contact,
        send_recording=rng.random() < 0.85,
        recording_wait=rng.choice([2, 10, 10]),
        status_sync=rng.choice(["CRM_TO_UIS", "CRM_TO_UIS", "BOTH", "OFF"]),
    )


def add_tenant(tenant: ChaosTenant) -> None:
    """Add and activate the client, as an operator does."""
    new = onboarding.NewTenant(
        name=f"Магазин {tenant.order}",
        slug=tenant.slug,
        uis_token=tenant.pbx.token,
        uis_brand=tenant.pbx.brand,
        crm_url=f"https://{tenant.crm.host}",
        crm_key=tenant.crm.key,
        default_number=tenant.numbers[0],
        time_zone=tenant.pbx.timezone,
    )
    added = onboarding.create_tenant(new, now=timezone.now())
    steps.activate(added, now=timezone.now())
    tenant.row = Tenant.objects.select_related("uis", "crm").get(pk=added.pk)
    if not tenant.row.crm.time_zone:  # API v4 does not return it: the operator enters it.
        tenant.row.crm.time_zone = tenant.crm.timezone
        tenant.row.crm.save(update_fields=["time_zone"])
    _save_rules(tenant)
    _link_by_hand(tenant)


def _link_by_hand(tenant: ChaosTenant) -> None:
    for person in tenant.people:
        if person.is_linked_by_hand:
            employee = Employee.objects.get(tenant=tenant.row, uis_id=person.uis_id)
            mapping.link(employee, CrmUser.objects.get(tenant=tenant.row, crm_id=person.user_id or 0))


def change_rules(tenant: ChaosTenant, rng: random.Random) -> None:
    """Publish another version of the client's rules; those of recordings and statuses stay."""
    drawn = _draw_rules(rng, tenant.people, tenant.numbers)
    kept = {name: getattr(tenant.choices, name) for name in ("send_recording", "recording_wait", "status_sync")}
    tenant.choices = replace(drawn, **kept, field_map=rng.choice(list(FIELD_MAPS)))
    _save_rules(tenant)


def _save_rules(tenant: ChaosTenant) -> None:
    """Publish the client's rules as they are chosen."""
    choices = tenant.choices
    uploads = {f"upload_{kind}": kind not in choices.off for kind in ("answered", "missed", "outgoing", "internal")}
    version = publish_rules(
        tenant.row,
        **uploads,
        field_map=FIELD_MAPS[choices.field_map],
        owner=choices.owner,
        missed_owner=choices.missed_owner,
        status_sync=choices.status_sync,
        number_filter=choices.number[0],
        employee_filter=choices.employee[0],
        contact_filter=choices.contact[0],
        contacts="\n".join(f"+{number}" for number in sorted(choices.contact[1])),
        send_recording=choices.send_recording,
        recording_wait_minutes=choices.recording_wait,
        numbers=VirtualNumber.objects.filter(tenant=tenant.row, number__in=choices.number[1]),
        employees=Employee.objects.filter(tenant=tenant.row, uis_id__in=choices.employee[1]),
    )
    tenant.versions[version.number] = choices
