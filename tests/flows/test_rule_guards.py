"""Rules that stop every call are refused, or asked about with the count of the last day."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.operations.admin import bulk_rule_change
from telephony.calls.rule_forecast import Forecast
from telephony.checks.rules import rules_pass
from telephony.models import Call
from tenants import contact_list
from tenants.models import Employee, Tenant, TransferRules, VirtualNumber
from tests import html_text
from tests.conftest import IVAN, NUMBER
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

NOON = datetime(2026, 11, 28, 12, tzinfo=ZoneInfo("Europe/Moscow"))
ENGLISH = {"accept-language": "en"}
RULE = reverse("admin:tenants_tenant_bulk_rule_change")


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def add_call(tenant):
    """Store a finished call of some days ago."""

    def add(days=1, *, of=tenant, **values):
        at = timezone.now() - timedelta(days=days)
        defaults = {
            "direction": "in",
            "is_lost": True,
            "result": "NOT_ANSWERED",
            "contact": "79990000001",
            "number": NUMBER,
        }
        session = Call.objects.count() + 1
        return Call.objects.create(
            tenant=of,
            session_id=session,
            started_at=at,
            ended_at=at,
            retry_window_started_at=at,
            state="UPLOADED",
            **defaults | values,
        )

    return add


@pytest.fixture
def save(client, tenant):
    """Change the rules on the client's page; return the answer."""
    client.force_login(create_user("olga", "Operator"))
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])

    def send(form=None, **rules):
        if form is None:
            form = html_text.fields(client.get(url, headers=ENGLISH).content.decode())
        typed = {f"rules-0-{name.replace('__', '-')}": value for name, value in rules.items()}
        posted = {name: value for name, value in (form | typed).items() if value is not None}
        return client.post(url, posted, headers=ENGLISH)

    return send


def rules():
    return TransferRules.objects.get()


def is_saved(answer):
    return answer.status_code == 302


@pytest.mark.parametrize("name", ["number_filter", "employee_filter", "contact_filter"])
def test_only_these_with_nothing_chosen_is_refused(save, tenant, name):
    assert not is_saved(save(**{name: "ONLY"}))
    assert getattr(rules(), name) == "ALL"


@pytest.mark.parametrize(
    "values",
    [
        {"number_filter": "ONLY", "numbers": NUMBER},
        {"employee_filter": "ONLY", "employees": IVAN},
        {"contact_filter": "ONLY", "contacts": "8 (999) 000-00-01"},
        {"number_filter": "EXCEPT"},
    ],
    ids=str,
)
def test_list_with_something_chosen_is_saved(save, add_call, tenant, values):
    add_call(employee=Employee.objects.get(uis_id=IVAN))
    rows = {"numbers": VirtualNumber.objects.filter(number=NUMBER), "employees": Employee.objects.filter(uis_id=IVAN)}
    answer = save(**{name: [rows[name].get().pk] if name in rows else value for name, value in values.items()})
    assert is_saved(answer), html_text.errors(answer)


@pytest.mark.parametrize(
    "entry", ["abc", "🌷", "7*5", "**", "*", "+", "7495123**", "12345678901234567", "123456", "79990000001 доб. 5"]
)
def test_wrong_contact_is_named_and_the_others_are_kept_on_the_page(save, tenant, entry):
    answer = save(contact_filter="EXCEPT", contacts=f"+7 999 000-00-01\n{entry}")
    assert not is_saved(answer)
    assert f"“{entry}”" in html_text.text(answer)
    assert "+7 999 000-00-01" in html_text.fields(answer.content.decode())["rules-0-contacts"]
    assert rules().contacts == ""


@pytest.mark.parametrize(
    ("typed", "contact", "is_matched"),
    [
        ("7495123*", "74951234567", True),
        ("+7 (495) 123*", "74951234567", True),
        ("8495123*", "74951234567", True),
        ("8800*", "78005553535", True),
        ("7495123*", "74951244567", False),
        ("+852*", "85221234567", True),
        ("852*", "85221234567", True),
        ("9990000001", "79990000001", True),
        ("8 (999) 000-00-01", "79990000001", True),
        ("8 (999) 000-00-01", "79990000012", False),
        ("1, +7 999 000-00-01; 3*", "79990000001", True),
        ("101", "101", True),
    ],
)
def test_masks_and_numbers_match_in_any_spelling(tenant, add_call, save, typed, contact, is_matched):
    add_call(contact="79995554433")  # one that passes
    assert is_saved(save(contact_filter="EXCEPT", contacts=typed))
    call = add_call(contact=contact)
    assert call.skipping_rule(rules().rule_set(), now=timezone.now()) == ("CONTACT" if is_matched else None)


@pytest.mark.parametrize(
    ("typed", "region", "mask"),
    [
        ("8800*", "HK", "8800*"),
        ("8800*", "KZ", "7800*"),
        ("020*", "GB", "4420*"),
        ("+020*", "GB", "020*"),
        ("00852*", "RU", "852*"),
        ("8-10-852*", "RU", "852*"),
        ("050*", "AE", "97150*"),
        ("212*", "US", "212*"),
    ],
)
def test_national_prefix_of_a_mask_is_that_of_the_home_country(typed, region, mask):
    assert contact_list.normalise(typed, region=region) == mask


def test_entries_stored_before_they_were_checked_still_work(save, add_call, tenant):
    add_call(contact="79995554433")
    TransferRules.objects.update(contact_filter="EXCEPT", contacts="Склад +7 999 000-00-01\nabc")
    call = add_call()
    assert call.skipping_rule(rules().rule_set(), now=timezone.now()) == "CONTACT"
    assert is_saved(save(contacts="Склад +7 999 000-00-01\nabc\n+79990000002"))


def test_rules_that_skip_all_of_yesterday_ask_with_the_count(save, add_call, tenant):
    for _call in range(3):
        add_call()
    add_call(days=2, result="ANSWERED", is_lost=False)
    answer = save(upload_missed=None)
    assert not is_saved(answer)
    assert "3 of 3 calls of 27 November" in html_text.text(answer)
    assert rules().upload_missed is True
    box = [name for name in html_text.fields(answer.content.decode()) if name.startswith("rules-0-confirm")]
    assert box == []  # it is not ticked
    token = answer.content.decode().partition('name="rules-0-confirm_skipping"')[2].partition('value="')[2][:16]
    again = html_text.fields(answer.content.decode())
    assert not is_saved(save(again, upload_missed=None, confirm_skipping="on"))
    other = save(again, contact_filter="EXCEPT", contacts="7999*", confirm_skipping=token)
    assert not is_saved(other)  # Other rules than those that were confirmed.
    assert is_saved(save(again, upload_missed=None, confirm_skipping=token))
    assert rules().upload_missed is False
    assert is_saved(save(recording_wait_minutes="11"))  # All were skipped before: that is no news.


def test_last_day_with_calls_counts_and_one_passing_call_is_enough(save, add_call, tenant, twin):
    add_call(of=twin)
    assert is_saved(save(upload_missed=None))  # no calls of this client yet
    TransferRules.objects.filter(tenant=tenant).update(upload_missed=True)
    add_call(days=9)
    assert "1 of 1 calls of 19 November" in html_text.text(save(upload_missed=None))
    add_call(days=9, result="ANSWERED", is_lost=False)
    assert is_saved(save(upload_missed=None))


def test_support_sees_the_rules_without_a_confirmation(client, tenant):
    client.force_login(create_user("sveta", "Support"))
    answer = client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk]))
    assert (answer.status_code, "confirm_skipping" in answer.content.decode()) == (200, False)


def test_bulk_change_asks_for_each_client_that_would_lose_all_calls(client, tenant, twin, add_call):
    client.force_login(create_user("olga", "Operator"))
    add_call()
    add_call(of=twin)
    form = {"clients": f"{tenant.pk},{twin.pk}", "rule": "upload_missed", "value": "False"}
    preview = client.post(RULE, form, headers=ENGLISH)
    assert html_text.text(preview).count("1 of 1 calls of 27 November") == 2
    shown = html_text.fields(preview.content.decode()) | {"confirm": "yes"}
    done = client.post(RULE, shown | {bulk_rule_change.SKIP_ALL: str(tenant.pk)}, follow=True, headers=ENGLISH)
    assert [message.level_tag for message in done.context["messages"]] == ["success", "warning"]
    assert dict(TransferRules.objects.values_list("tenant", "upload_missed")) == {tenant.pk: False, twin.pk: True}


def test_bulk_change_needs_its_own_preview(client, tenant):
    client.force_login(create_user("olga", "Operator"))
    form = {"clients": str(tenant.pk), "rule": "upload_missed", "value": "False"}
    unseen = client.post(RULE, form | {"confirm": "yes"})
    other = html_text.fields(client.post(RULE, form | {"rule": "owner", "value": "FIRST_TALKER"}).content.decode())
    shown = client.post(RULE, form | {"confirm": "yes", "previewed": other["previewed"]})
    opposite = html_text.fields(unseen.content.decode()) | {"value": "True", "confirm": "yes"}
    answers = [unseen, shown, client.post(RULE, opposite)]
    odd = ("{", "[]", '{"clients": [1], "rule": "upload_missed", "value": "False"}')
    answers += [client.post(RULE, form | {"confirm": "yes", "previewed": previewed}) for previewed in odd]
    assert [(answer.status_code, answer.context["is_preview"]) for answer in answers] == [(200, True)] * 6
    assert rules().upload_missed is True
    assert client.post(RULE, html_text.fields(shown.content.decode()) | {"confirm": "yes"}).status_code == 302
    assert rules().upload_missed is False


def test_every_rule_that_skips_uploads_is_asked_about(tenant, add_call):
    """Of the rules for many clients those that can skip an upload begin so; a new one must too."""
    skipping = set()
    calls = [
        add_call(direction=direction, result=result, is_internal=is_internal)
        for direction in ("in", "out")
        for result in ("ANSWERED", "NOT_ANSWERED")
        for is_internal in (False, True)
    ]
    for name in bulk_rule_change.RULES:
        stored = rules()
        stored.upload_internal = True
        if isinstance(getattr(stored, name), bool):
            setattr(stored, name, False)
            if any(call.skipping_rule(stored.rule_set(), now=call.started_at) for call in calls):
                skipping.add(name)
    assert skipping == {name for name in bulk_rule_change.RULES if bulk_rule_change._can_skip(name, False)}


def test_last_number_of_a_filter_cannot_be_deleted(save, client, tenant):
    number = VirtualNumber.objects.get(number=NUMBER)
    TransferRules.objects.update(number_filter="ONLY")
    rules().numbers.set([number])
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    row = next(
        name.removesuffix("number") for name, value in form.items() if name.endswith("-number") and value == NUMBER
    )
    assert client.post(url, form | {f"{row}DELETE": "on"}).status_code == 200
    assert VirtualNumber.objects.filter(pk=number.pk).exists()


@pytest.mark.parametrize("before", ["ALL", "ONLY"])
def test_number_of_a_filter_on_the_same_page_cannot_be_deleted(save, client, tenant, before):
    """The rules are saved first: the number that they let pass would be gone a moment later."""
    kept, deleted = VirtualNumber.objects.order_by("number")
    TransferRules.objects.update(number_filter=before)
    rules().numbers.set([kept, deleted])
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    row = next(
        name.removesuffix("number")
        for name, value in form.items()
        if name.endswith("-number") and value == deleted.number
    )
    typed = {"rules-0-number_filter": "ONLY", "rules-0-numbers": [deleted.pk], f"{row}DELETE": "on"}
    answer = client.post(url, form | typed)
    assert (answer.status_code, rules().number_filter, rules().numbers.count()) == (200, before, 2)
    other = {"rules-0-number_filter": "ONLY", "rules-0-numbers": [kept.pk], f"{row}DELETE": "on"}
    answer = client.post(url, form | other)
    assert (answer.status_code, list(rules().numbers.all())) == (302, [kept]), html_text.errors(answer)


@pytest.mark.parametrize("name", ["numbers", "employees"])
def test_only_these_with_rows_that_left_uis_is_refused_and_found(save, tenant, name):
    mode, rows = {
        "numbers": ("number_filter", VirtualNumber.objects.filter(number=NUMBER)),
        "employees": ("employee_filter", Employee.objects.filter(uis_id=IVAN)),
    }[name]
    chosen = {mode: "ONLY", name: [rows.get().pk]}
    gone = {"numbers": {"is_active": False}, "employees": {"is_dismissed": True}}[name]
    rows.update(**gone)
    assert not is_saved(save(**chosen))
    rows.update(**{field: not value for field, value in gone.items()})
    assert is_saved(save(**chosen))
    assert [result.ok for result in rules_pass(Tenant.objects.get())] == [True]
    rows.update(**gone)  # UIS removed it later.
    assert [result.ok for result in rules_pass(Tenant.objects.get())] == [False]
    assert is_saved(save(recording_wait_minutes="11")), "Nothing else must wait for that."


def test_message_has_the_day_in_the_language_of_the_reader(save, add_call, tenant):
    add_call()
    with translation.override("ru"):
        assert "27 ноября" in str(Forecast(date(2026, 11, 27), 41))
