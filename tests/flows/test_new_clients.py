"""New clients from a set of rules, from another client's rules, and many from a CSV."""

import random
import re
from datetime import time
from urllib.parse import urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from connector_project.operations.onboarding import client_csv
from telephony.models import Notification
from tenants import onboarding, rule_checks, rule_presets
from tenants.models import AuditLogEntry, Tenant, VirtualNumber
from tenants.rules import Rules
from tests import html_text
from tests.conftest import CRM_HOST
from tests.rules import publish_rules
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]

ENGLISH = {"accept-language": "en"}
ADD, FILE, LINKS = (f"/admin/tenants/tenant/{path}" for path in ("add/", "from-file/", "from-file/links/"))
HEADER = "name;slug;language;time_zone;brand;crm_address;rules"


def add(client, **typed):
    answer = html_text.submit(client, ADD, {"name": "Василёк"} | typed)
    assert answer.status_code == 302, html_text.errors(answer)
    return Tenant.objects.select_related("rule_version", "uis", "crm").get(name=typed.get("name", "Василёк"))


# --- a set of rules


@pytest.mark.parametrize("code", rule_presets.PRESETS)
def test_client_begins_with_a_set_of_rules(client, operator, code):
    tenant = add(client, begins_with=code)
    expected = rule_presets.PRESETS[code].rules
    assert {name: getattr(tenant.rules, name) for name in expected} == expected
    others = set(rule_presets.SHARED_RULES) - set(expected)
    default = Rules()
    assert all(getattr(tenant.rules, name) == getattr(default, name) for name in others)
    logged = AuditLogEntry.objects.filter(tenant=tenant, object_repr="ruleversion 1").values_list("field", flat=True)
    assert set(logged) == set(expected)


def test_sets_differ_and_pass_something(client, operator):
    found = [tuple(sorted(preset.rules.items())) for preset in rule_presets.PRESETS.values()]
    assert len(set(found)) == len(found)
    for code in rule_presets.PRESETS:
        new = add(client, name=code, begins_with=code)
        assert rule_checks.passes_something(new, new.rules)
        assert new.rules.upload_missed


# --- another client's rules


@pytest.fixture
def model(tenant):
    """A client whose rules and settings are all unlike the defaults."""
    lists = {"number_filter": "ONLY", "contact_filter": "EXCEPT", "contacts": "79990000001"}
    statuses = {"status_break": "not_at_work", "status_dinner": "9001"}
    recordings = {"send_recording": False, "recording_days": 30}
    owners = {"owner": "FIRST_TALKER", "missed_owner": "NOBODY"}
    numbers = VirtualNumber.objects.filter(tenant=tenant)
    publish_rules(tenant, upload_answered=False, numbers=numbers, **lists, **statuses, **recordings, **owners)
    Tenant.objects.filter(pk=tenant.pk).update(
        opens_at=time(8), closes_at=time(22), works_weekends=True, upload_window_days=7, retention_calls_days=90
    )
    return tenant


def test_client_takes_over_rules_and_settings_only(client, operator, model, pbx, crm):
    new = add(client, begins_with=f"client-{model.pk}")
    rules = new.rules
    assert (rules.upload_answered, rules.send_recording, rules.recording_days) == (False, False, 30)
    assert (rules.owner, rules.missed_owner, rules.status_break) == ("FIRST_TALKER", "NOBODY", "not_at_work")
    assert (new.opens_at, new.closes_at, new.works_weekends) == (time(8), time(22), True)
    assert (new.upload_window_days, new.retention_calls_days) == (7, 90)
    # A status of their own account, lists, keys, numbers and employees are not.
    assert rules.status_dinner == "break"
    assert (rules.number_filter, rules.employee_filter, rules.contact_filter, rules.contacts) == (
        "ALL",
        "ALL",
        "ALL",
        (),
    )
    assert (new.uis.access_token, new.crm.key, new.crm.address, new.uis.account_id) == ("", "", "", "")
    assert not rules.numbers
    assert not new.employees.exists()
    assert new.activation_token != model.activation_token
    assert not Notification.objects.filter(tenant=new).exists()


def test_only_visible_clients_are_offered(client, operator, model, twin):
    operator.sees_all_tenants = False
    operator.save()
    operator.visible_tenants.set([twin])
    page = client.get(ADD).content.decode()
    assert f"client-{twin.pk}" in page
    assert f"client-{model.pk}" not in page
    answer = html_text.submit(client, ADD, {"name": "Василёк", "begins_with": f"client-{model.pk}"})
    assert answer.status_code == 200
    assert not Tenant.objects.filter(name="Василёк").exists()


@pytest.mark.parametrize("choice", ["client-0", "client-x", "client-999999", "nonsense", "client-²", "\U0001f4de"])
def test_impossible_choice_is_refused(client, operator, choice):
    answer = html_text.submit(client, ADD, {"name": "Василёк", "begins_with": choice})
    assert answer.status_code == 200
    assert not Tenant.objects.exists()


# --- a CSV


def preview(client, text="", *, file=None, **more):
    data = {"rules": "standard", "text": text} | more
    if file is not None:
        data["file"] = SimpleUploadedFile("clients.csv", file)
    return client.post(FILE, data, headers=ENGLISH)


def refused(answer):
    """Return by row whether it is refused."""
    found = re.findall(r'data-row="(\d+)" data-refused="(\w+)"', answer.content.decode())
    return {int(number): word == "yes" for number, word in found}


def confirm(client, answer):
    """Press the button of the preview."""
    form = re.search(r'<form method="post" class="admin-buttons">(.*?)</form>', answer.content.decode(), re.DOTALL)[1]
    previewed = html_text.fields(re.sub(r"<textarea name=\"text\" hidden[^>]*>", '<textarea name="text">', form))
    return client.post(FILE, previewed | {"confirm": "yes"}, headers=ENGLISH), previewed


def test_fifty_clients_are_previewed_confirmed_and_get_their_links(client, operator):
    rows = [f"Магазин {number};;ru;Asia/Omsk;uis;https://shop{number}.retailcrm.ru;missed" for number in range(50)]
    answer = preview(client, "\n".join([HEADER, *rows]))
    assert refused(answer) == dict.fromkeys(range(1, 51), False)
    assert not Tenant.objects.exists()
    done, previewed = confirm(client, answer)
    assert Tenant.objects.count() == 50
    links = re.findall(r'<code class="admin-link">([^<]+)</code>', done.content.decode())
    assert len(set(links)) == 50
    assert client.get(urlsplit(links[0]).path).status_code == 200
    shop = Tenant.objects.select_related("rule_version", "crm").get(name="Магазин 7")
    assert (shop.slug, shop.time_zone, shop.crm.address) == ("magazin-7", "Asia/Omsk", "https://shop7.retailcrm.ru")
    assert (shop.rules.upload_answered, shop.crm.key, shop.activated_at) == (False, "", None)
    assert AuditLogEntry.objects.filter(tenant=shop, user=operator, action="ADDED").count() >= 5
    signed = html_text.fields(done.content.decode())["signed"]
    file = client.post(LINKS, {"signed": signed})
    assert file["Content-Disposition"].startswith("attachment")
    assert all(link in file.content.decode() for link in links)
    # Confirmed once more, as by a second click or a reload.
    again = client.post(FILE, previewed | {"confirm": "yes"}, headers=ENGLISH)
    assert (again.status_code, Tenant.objects.count()) == (200, 50)
    assert "admin-link" not in again.content.decode()


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (";x;ru;Europe/Moscow;uis;;", "name"),
        ("A" * 201 + ";;;;;;", "name"),
        ("A;романы;;;;;", "short name"),
        ("A;with space;;;;;", "short name"),
        ("A;romashka;;;;;", "exists already"),
        ("A;;fr;;;;", "language"),
        ("A;;;Mars/Olympus;;;", "time zone"),
        ("A;;;europe/moscow ;;;", "time zone"),
        ("A;;;;beeline;;", "brand"),
        ("A;;;;;https://shop.example.com;", "CRM address"),
        ("A;;;;;http://shop.retailcrm.ru;", "CRM address"),
        ("A;;;;;https://127.0.0.1;", "CRM address"),
        ("A;;;;;not an address;", "CRM address"),
        ("A;;;;;https://[::1;", "CRM address"),
        (f"A;;;;;https://{CRM_HOST};", "Another client"),
        (f"A;;;;;{CRM_HOST.upper()}/orders/;", "Another client"),
        ("A;;;;;;nonsense", "transfer rules"),
        ("A;;;;;;client-999999", "transfer rules"),
    ],
)
def test_row_is_refused_with_its_reason_and_the_others_are_created(client, operator, tenant, row, word):
    answer = preview(client, f"{HEADER}\nДо;do;;;;;\n{row}\nПосле;posle;;;;;")
    assert (answer.status_code, refused(answer)) == (200, {1: False, 2: True, 3: False})
    reason = re.search(r'data-row="2".*?</tr>', answer.content.decode(), re.DOTALL)[0]
    assert word in reason
    confirm(client, answer)
    assert set(Tenant.objects.exclude(pk=tenant.pk).values_list("slug", flat=True)) == {"do", "posle"}


def test_rows_that_collide_with_each_other(client, operator):
    rows = ["A;one;;;;https://a.retailcrm.ru;", "B;one;;;;;", "C;;;;;https://A.retailcrm.ru/;", "A;;;;;;", "A;;;;;;"]
    answer = preview(client, "\n".join([HEADER, *rows]))
    assert refused(answer) == {1: False, 2: True, 3: True, 4: False, 5: False}
    confirm(client, answer)
    assert set(Tenant.objects.values_list("slug", flat=True)) == {"one", "a", "a-2"}


def test_any_spelling_of_the_file_is_read(client, operator):
    """Delimiters, encodings, line ends, headers, order of columns, quotes: drawn, and read as the same clients."""
    draw = random.Random(14)
    names = {column: headers for column, headers in client_csv.HEADERS.items() if column in {"name", "slug", "brand"}}
    for case in range(30):
        delimiter, end = draw.choice(";,\t"), draw.choice(["\n", "\r\n"])
        columns = draw.sample(list(names), 3)
        header = [draw.choice([str.upper, str.title, str])(draw.choice(names[column])) for column in columns]
        row = {"name": f'ООО "Ёж{delimiter} и Ко" {case}', "slug": f"hedgehog-{case}", "brand": "CoMagic"}
        quoted = {column: '"' + value.replace('"', '""') + '"' for column, value in row.items()}
        lines = [delimiter.join(header), "", delimiter.join(quoted[column] for column in columns)]
        text = end.join(lines) + draw.choice(["", end, end * 3])
        text = draw.choice(["", f"sep={delimiter}{end}"]) + text
        raw = text.encode(draw.choice(["utf-8", "utf-8-sig", "cp1251"]))
        answer = preview(client, file=raw) if draw.random() < 0.7 else preview(client, text)
        assert refused(answer) == {1: False}, (case, raw, html_text.text(answer))
        confirm(client, answer)
        assert Tenant.objects.get(slug=row["slug"]).name == row["name"]
        assert Tenant.objects.get(slug=row["slug"]).uis.brand == "comagic"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"name\n",
        b"slug\nromashka",
        b"name;name\na;b",
        b"name;colour\na;red",
        b"name\na;b",
        b'name\n"a',
        b"\xff\xfe" + "name\nA".encode("utf-16-le"),
        b"\x98\x98",
        b"PK\x03\x04\x00\x00zip",
        b"name\n" + b"x" * 200_000,
        b"name\n" + b"a\n" * 201,
        b"a" * (client_csv.MAX_BYTES + 1),
    ],
)
def test_unreadable_file_is_refused_with_a_sentence(client, operator, raw):
    answer = preview(client, file=raw)
    assert answer.status_code == 200
    assert 'class="errornote"' in answer.content.decode() or refused(answer) == {1: True}
    assert not Tenant.objects.exists()


def test_wrong_text_is_kept_on_the_page(client, operator):
    text = "name;colour\nРомашка;red"
    answer = preview(client, text)
    assert 'class="errornote"' in answer.content.decode()
    assert html_text.fields(answer.content.decode())["text"] == text


@pytest.mark.parametrize("header", ["key", "UIS Token", "access_token", "ключ", "Ключ CRM", "secret", "пароль"])
def test_keys_are_refused_and_not_shown_again(client, operator, header):
    secret = "kEy-0123456789abcdef"
    for answer in (
        preview(client, f"name;{header}\nРомашка;{secret}"),
        preview(client, file=f"name;{header}\nРомашка;{secret}".encode()),
    ):
        assert 'class="errornote"' in answer.content.decode()
        assert secret not in answer.content.decode()
    assert not Tenant.objects.exists()


def test_taken_meanwhile_is_refused_alone(client, operator):
    answer = preview(client, f"{HEADER}\nA;first;;;;https://a.retailcrm.ru;\nB;second;;;;;\nC;third;;;;;")
    onboarding.create_tenant(onboarding.NewTenant(name="X", slug="second"), now=timezone.now())
    onboarding.create_tenant(onboarding.NewTenant(name="Y", crm_url="https://a.retailcrm.ru"), now=timezone.now())
    done, _form = confirm(client, answer)
    assert re.findall(r'data-refused="(\d+)"', done.content.decode()) == ["1", "2"]
    assert set(Tenant.objects.values_list("name", flat=True)) == {"X", "Y", "C"}


def test_pages_are_for_those_who_may_add_clients(client, tenant, twin):
    client.force_login(create_user("petr", "Support"))
    assert client.get(FILE).status_code == 403
    assert client.post(FILE, {"text": "name\nA", "rules": "standard", "confirm": "yes"}).status_code == 403
    assert client.post(LINKS, {"signed": "x"}).status_code == 403
    assert FILE not in client.get("/admin/tenants/tenant/").content.decode()


def test_added_clients_are_visible_to_who_added_them_and_links_to_nobody_else(client, operator, twin):
    operator.sees_all_tenants = False
    operator.save()
    operator.visible_tenants.set([twin])
    done, _form = confirm(client, preview(client, "name;rules\nA;missed"))
    assert set(operator.visible_tenants.values_list("name", flat=True)) == {"A", "Чужой"}
    signed = html_text.fields(done.content.decode())["signed"]
    client.force_login(create_user("petra", "Operator"))
    for text in (signed, "", "x", f"{signed}x"):
        answer = client.post(LINKS, {"signed": text})
        assert (answer.status_code, b"/activate/" in answer.content) == (302, False)


def test_other_clients_are_named_to_those_who_see_them_only(client, operator, tenant, twin):
    text = f"name;crm_address\nA;https://{CRM_HOST}"
    assert f'<a href="/admin/tenants/tenant/{tenant.pk}/change/">' in preview(client, text).content.decode()
    operator.sees_all_tenants = False
    operator.save()
    operator.visible_tenants.set([twin])
    answer = preview(client, text)
    assert refused(answer) == {1: True}
    assert tenant.name not in html_text.text(answer)


def test_rows_may_name_another_clients_rules(client, operator, model):
    confirm(client, preview(client, "name\nA", rules=f"client-{model.pk}"))
    assert Tenant.objects.get(name="A").rules.owner == "FIRST_TALKER"


def test_example_is_read(client, operator):
    from django.contrib.staticfiles import finders

    with open(finders.find("new-clients.csv"), "rb") as file:
        answer = preview(client, file=file.read())
    assert refused(answer) == {1: False, 2: False, 3: False}


def test_files_of_strangers_are_kept_nowhere(client, db):
    answer = client.post("/activate/x/", {"file": SimpleUploadedFile("a.csv", b"name")})
    assert answer.status_code == 404
    assert not answer.wsgi_request.FILES
