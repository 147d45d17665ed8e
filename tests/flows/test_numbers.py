"""Numbers through their two entrances: what UIS wrote is believed, what people typed is read in the home country."""

import random
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse
from django.utils import timezone, translation

from crm import tasks
from crm.models import Command
from telephony.models import Call
from tenants.models import CrmUser, Tenant, UisConnection, VirtualNumber
from tests import html_text
from tests.conftest import IVAN, NUMBER
from tests.core.test_number_grammars import COUNTRIES, typed_main
from tests.rules import publish_rules_for_all
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]


@pytest.fixture
def click(client, run_queue):
    """Click a number in the CRM of a client, and run what is queued."""

    def send(tenant, phone, **params):
        form = {"clientId": tenant.crm.client_id, "userId": "27", "phone": phone} | params
        answer = client.get(f"/hooks/retailcrm/{tenant.crm.hook}/make-call/", form)
        run_queue()
        return answer

    return send


def dialled(pbx):
    return [(call["contact"], call.get("dtmf_string")) for call in pbx.dialled]


def set_home(tenant, *, country="", zone="Europe/Moscow", uis_zone="Europe/Moscow", brand="uis"):
    Tenant.objects.filter(pk=tenant.pk).update(home_country=country, time_zone=zone)
    UisConnection.objects.filter(tenant=tenant).update(time_zone=uis_zone, brand=brand)


# --- What people typed: clicks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phone", "contact", "tones"),
    [
        ("+7 (926) 111-22-38 доб. 101", "79261112238", "101"),
        ("8(926)111-22-38 внутр. 12", "79261112238", "12"),
        ("+79261112238;ext=404", "79261112238", "404"),
        ("+78129999331#404812", "78129999331", "404812"),
        ("+7 812 999-93-31*5", "78129999331", "5"),
        ("8 812 999 93 31,,7#", "78129999331", "7#"),
        ("+7 926 111 22 38 x 9", "79261112238", "9"),
        ("74955140578...9.2.3.3", "74955140578", "9.2.3.3"),
        ("8 926 111-22-38 Иван, до 18", "79261112238", None),
        ("8 926 111-22-38, 8 926 111-22-39", "79261112238", None),
        (" 85221234567", "85221234567", None),
        ("0049 30 1234567", "49301234567", None),
        ("8-10-852-2123-4567", "85221234567", None),
        ("+44 (0)20 7946 0018", "442079460018", None),
    ],
)
def test_click_dials_the_main_number_and_the_extension_as_tones(click, pbx, tenant, stranger, phone, contact, tones):
    assert click(tenant, phone).status_code == 200
    assert dialled(pbx) == [(contact, tones)]


@pytest.mark.parametrize(
    "phone",
    [
        "101",
        "112",
        "123-45-67",
        "+7 926 111-22-3",
        "+7 926 111-22-38 99",
        "+999 1234567890",
        "нет",
        "доб. 101",
        "0",
        "+",
    ],
)
@pytest.mark.parametrize("language", ["ru", "en"])
def test_click_on_what_cannot_be_dialled_is_refused_with_a_sentence(click, pbx, tenant, phone, language):
    Tenant.objects.update(language=language)
    answer = click(tenant, phone)
    with translation.override(language):
        assert (answer.status_code, answer.json()["errorMsg"]) == (400, str(Command.Reason.BAD_PHONE.label))
    assert (Command.objects.get().contact, dialled(pbx)) == ("", [])


@pytest.mark.parametrize(
    ("home", "phone", "contact"),
    [
        ({"zone": "Asia/Hong_Kong"}, "2123 4567", "85221234567"),
        ({"uis_zone": "Asia/Dubai", "brand": "callgear"}, "050 123 4567", "971501234567"),
        ({"zone": "Europe/London"}, "020 7946 0018", "442079460018"),
        ({"zone": "Asia/Almaty"}, "8 (701) 123-45-67", "77011234567"),
        ({"zone": "America/New_York"}, "(212) 555-0123", "12125550123"),
        ({"country": "UA"}, "067 123 45 67", "380671234567"),
        ({"country": "RU", "zone": "Asia/Dubai"}, "8 926 111-22-38", "79261112238"),
        ({"zone": "Asia/Hong_Kong"}, "79261112238", "79261112238"),
        ({"zone": "Asia/Hong_Kong"}, "8 926 111-22-38", ""),
        ({"brand": "callgear"}, "8 926 111-22-38", ""),
        ({"brand": "callgear"}, "+7 926 111-22-38", "79261112238"),
    ],
)
def test_national_number_is_of_the_home_country(click, pbx, tenant, home, phone, contact):
    set_home(tenant, **home)
    click(tenant, phone)
    command = Command.objects.get()
    assert (command.contact, command.reason == "BAD_PHONE") == (contact, not contact)


def test_home_country_is_each_clients_own(click, pbx, tenant, twin, twin_pbx):
    set_home(twin, zone="Europe/London")
    for one in (tenant, twin):
        click(one, "8 926 111-22-38"), click(one, "020 7946 0018")
    assert (dialled(pbx), dialled(twin_pbx)) == ([("79261112238", None)], [("442079460018", None)])


@pytest.mark.parametrize("seed", range(12))
def test_any_form_of_any_country_is_dialled(click, pbx, tenant, seed):
    rng = random.Random(f"clicks {seed}")
    home, country = rng.choice(list(COUNTRIES)), rng.choice(list(COUNTRIES))
    set_home(tenant, country=home)
    phone, digits = typed_main(rng, country, home)
    assert click(tenant, phone + rng.choice([" доб. 7", ";ext=7", "#7"])).status_code == 200, phone
    assert dialled(pbx) == [(digits, "7")]


def test_another_extension_of_a_number_is_no_double_click(click, pbx, tenant):
    for extension in ("101", "102", "101"):
        click(tenant, f"+7 926 111-22-38 доб. {extension}")
    assert dialled(pbx) == [("79261112238", "101"), ("79261112238", "102")]


def test_number_of_the_store_is_read_like_the_customers(click, pbx, tenant):
    for at, text in enumerate(("+7-495-000-00-02", "84950000002", "8 (495) 000-00-02")):
        click(tenant, f"+7999000010{at}", externalPhone=text)
    assert {call["virtual_phone_number"] for call in pbx.dialled} == {"74950000002"}


# --- What UIS wrote: notifications and reports ----------------------------------------------------------------------


VENDOR_FORMS = [
    ("85221234567", "+85221234567"),
    ("84912345678", "+84912345678"),
    ("84951234567", "+84951234567"),
    ("4532123456", "+4532123456"),
    ("89261112238", "+79261112238"),
    ("9261112238", "+79261112238"),
    ("+79261112238", "+79261112238"),
    ("sip:79161234575@10.12.13.14", "+79161234575"),
    ("+78129999331#404812", "+78129999331"),
    ("74955140578...2345", "+74955140578"),
]


@pytest.mark.parametrize(("told", "phone"), VENDOR_FORMS)
def test_number_that_uis_wrote_is_the_same_on_card_and_in_history(notify, pbx, crm, tenant, stranger, told, phone):
    call = pbx.call(contact=told, number=NUMBER, rings=[IVAN])
    notify(call.notification("waiting", employee_id=IVAN), call.notification("lost_call"))
    assert [event["phone"] for event in crm.events if event["type"] == "in"] in ([phone], [])  # none once it is over
    assert [one["phone"] for one in crm.calls] == [phone]


def test_report_and_legs_are_read_like_notifications(pbx, crm, tenant, run_queue):
    began = timezone.now() - timedelta(hours=1)
    for told, _phone in VENDOR_FORMS:
        pbx.call(contact=told, number=NUMBER, started_at=began, talks=[(IVAN, 20)])
    today = timezone.localtime().replace(hour=0, minute=0)
    period = (today - timedelta(days=1), today + timedelta(days=1))
    since, till = (moment.isoformat() for moment in period)
    call_command("reconcile_calls", "--tenant", tenant.slug, "--from", since, "--till", till, stdout=StringIO())
    run_queue()
    assert sorted(one["phone"] for one in crm.calls) == sorted(phone for _told, phone in VENDOR_FORMS)


@pytest.mark.parametrize("told", ["112", "900", "101", "0611", "15555"])
@pytest.mark.parametrize("stated", [False, "false"])
def test_short_number_that_uis_calls_external_is_no_colleague(notify, pbx, crm, tenant, told, stated):
    call = pbx.call(contact=told, number=NUMBER, talks=[(IVAN, 20)])
    notify(call.notification("call_end") | {"is_internal": stated})
    assert (Call.objects.get().is_internal, [one["phone"] for one in crm.calls]) == (False, [told])


def test_short_number_that_uis_says_nothing_of_is_a_colleague(notify, pbx, crm, tenant):
    for told, stated in (("102", True), ("103", "{{is_internal}}"), ("112", "")):
        call = pbx.call(contact=told, number=NUMBER, talks=[(IVAN, 20)])
        notify(call.notification("call_end") | {"is_internal": stated})
    assert {(call.is_internal, call.skip_reason) for call in Call.objects.all()} == {(True, "INTERNAL_OFF")}
    assert crm.calls == []


@pytest.mark.parametrize("told", ["0", "000", "Unknown-7", "anonymous", "sip:anonymous@10.12.13.14", "Restricted"])
def test_hidden_caller_is_hidden_and_no_colleague(notify, pbx, crm, tenant, told):
    call = pbx.call(contact=told, number=NUMBER, talks=[(IVAN, 20)])
    notify(call.notification("call_end"))
    stored = Call.objects.get()
    assert (stored.contact, stored.is_internal, stored.skip_reason) == ("", False, "HIDDEN_NUMBER")
    assert crm.calls == []


# --- Other places where a person types a number ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("home", "typed"),
    [
        ("RU", "8 (926) 111-22-38 доб. 101"),
        ("RU", "9261112238"),
        ("HK", "+7 926 111-22-38"),
        ("RU", "Иван 8 926 111-22-38"),
        ("HK", "00 7 926 111 22 38"),
    ],
)
def test_number_is_erased_in_any_form(tenant, pbx, notify, home, typed):
    notify(pbx.call(contact="79261112238", number=NUMBER).notification("lost_call"))
    set_home(tenant, country=home)
    call_command("erase_number", "--tenant", tenant.slug, typed)
    assert Call.objects.get().contact == ""


@pytest.mark.parametrize("typed", ["112", "926 111-22", "+7 926", "x", "+999 1234567890"])
def test_what_is_no_number_is_not_erased(tenant, typed):
    with pytest.raises((CommandError, SystemExit)):
        call_command("erase_number", "--tenant", tenant.slug, typed)


def test_number_of_no_country_that_a_call_has_is_erased(tenant, pbx, notify):
    notify(pbx.call(contact="1234567", number=NUMBER).notification("lost_call"))
    call_command("erase_number", "--tenant", tenant.slug, "+1234567")
    assert Call.objects.get().contact == ""


@pytest.mark.parametrize(
    ("home", "typed", "contact", "is_found"),
    [
        ("RU", "8 (926) 111-22-38", "79261112238", True),
        ("RU", "+7 926 111-22-38 доб. 101", "79261112238", True),
        ("RU", "9261112238", "79261112238", True),
        ("RU", "85221234567", "85221234567", True),
        ("GB", "020 7946 0018", "442079460018", True),
        ("HK", "001 44 20 7946 0018", "442079460018", True),
        ("RU", "020 7946 0018", "442079460018", False),
    ],
)
@pytest.mark.parametrize("group", ["Support", "Operator"])
def test_number_is_found_as_typed_in_the_home_country(
    client, tenant, pbx, notify, home, typed, contact, is_found, group
):
    notify(pbx.call(contact=contact, number=NUMBER).notification("lost_call"))
    set_home(tenant, country=home)
    client.force_login(create_user("anna", group))
    answer = client.get(reverse("admin:telephony_call_changelist"), {"q": typed})
    assert len(answer.context["cl"].result_list) == is_found


@pytest.mark.parametrize(
    ("country", "typed", "stored"),
    [("", "8 (495) 000-00-03", "74950000003"), ("GB", "020 7946 0018", "442079460018"), ("", "101", None)],
)
def test_number_added_by_hand_is_stored_as_uis_writes_it(client, tenant, country, typed, stored):
    set_home(tenant, country=country)
    client.force_login(create_user("olga", "Operator"))
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    total = int(form["virtual_numbers-TOTAL_FORMS"])
    added = {
        f"virtual_numbers-{total}-number": typed,
        "virtual_numbers-TOTAL_FORMS": total + 1,
        f"virtual_numbers-{total}-tenant": tenant.pk,
    }
    answer = client.post(url, form | added)
    assert answer.status_code == (302 if stored else 200), html_text.errors(answer)
    numbers = set(VirtualNumber.objects.values_list("number", flat=True))
    assert numbers == {NUMBER, "74950000002"} | ({stored} if stored else set())


@pytest.mark.parametrize(
    ("country", "entry", "contact", "is_skipped"),
    [
        ("GB", "020 7946 0018", "442079460018", True),
        ("GB", "020*", "442079460018", True),
        ("GB", "0161*", "442079460018", False),
        ("HK", "2123 4567", "85221234567", True),
        ("HK", "8800*", "78005553535", False),
        ("KZ", "8 701 123-45-67", "77011234567", True),
        ("RU", "8800*", "78005553535", True),
        ("RU", "84951234567", "84951234567", False),
        ("RU", "+84951234567", "84951234567", True),
        ("RU", "112", "112", True),
    ],
)
def test_contacts_of_rules_are_of_the_home_country(notify, pbx, crm, tenant, country, entry, contact, is_skipped):
    set_home(tenant, country=country)
    publish_rules_for_all(contact_filter="EXCEPT", contacts=entry)
    call = pbx.call(contact=contact, number=NUMBER, talks=[(IVAN, 20)])
    notify(call.notification("call_end") | {"is_internal": False})
    assert Call.objects.get().skip_reason == ("CONTACT" if is_skipped else "")


@pytest.mark.parametrize(
    ("country", "typed", "stored"),
    [
        ("RU", "8 (926) 111-22-38 доб. 1", "79261112238"),
        ("GB", "020 7946 0018", "442079460018"),
        ("RU", "+852 2123 4567", "85221234567"),
        ("RU", "101", ""),
        ("RU", "нет", ""),
    ],
)
def test_phones_of_crm_users_are_read_as_typed(tenant, crm, run_queue, country, typed, stored):
    set_home(tenant, country=country)
    crm.users[27]["phone"] = typed
    tasks.link_users(tenant.pk)
    run_queue()
    assert CrmUser.objects.get(crm_id=27).phone == stored


@pytest.mark.parametrize(
    ("zone", "typed", "stored"),
    [
        ("Europe/Moscow", "8 (495) 123-45-67", "74951234567"),
        ("Europe/London", "020 7946 0018", "442079460018"),
        ("Asia/Hong_Kong", "2123 4567", "85221234567"),
        ("Europe/Moscow", "101", None),
        ("Europe/Moscow", "020 7946 0018", None),
    ],
)
def test_number_of_a_new_client_is_read_in_their_country(db, zone, typed, stored):
    arguments = ("New", "--crm-url", "https://new.retailcrm.ru", "--virtual-number", typed, "--timezone", zone)
    if stored is None:
        with pytest.raises((CommandError, SystemExit)):
            call_command("add_tenant", *arguments, stdout=StringIO(), stderr=StringIO())
    else:
        call_command("add_tenant", *arguments, stdout=StringIO())
    assert list(VirtualNumber.objects.values_list("number", flat=True)) == ([stored] if stored else [])


def test_home_country_is_chosen_on_the_clients_page(client, tenant):
    client.force_login(create_user("olga", "Operator"))
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    assert form["home_country"] == ""
    assert client.post(url, form | {"home_country": "KZ"}).status_code == 302
    assert client.post(url, form | {"home_country": "XX"}).status_code == 200
    assert Tenant.objects.get().home_country == "KZ"
