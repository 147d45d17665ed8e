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
from tenants.models import Employee, RuleDraft, Tenant, VirtualNumber
from tests import html_text
from tests.conftest import IVAN, NUMBER
from tests.rules import current_rules, draft_of, publish_rules, publish_rules_for_all
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
    """Change the draft on the client's page; return the answer."""
    client.force_login(create_user("olga", "Operator"))
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])

    def send(form=None, **rules):
        if form is None:
            form = html_text.fields(client.get(url, headers=ENGLISH).content.decode())
        typed = {f"draft-0-{name.replace('__', '-')}": value for name, value in rules.items()}
        posted = {name: value for name, value in (form | typed).items() if value is not None}
        return client.post(url, posted, headers=ENGLISH)

    return send


@pytest.fixture
def publish(client, tenant):
    """Publish the draft on its page; return the answer."""
    url = reverse("admin:tenants_tenant_rules_publish", args=[tenant.pk])

    def send(form=None, **more):
        if form is None:
            form = html_text.fields(client.get(url, headers=ENGLISH).content.decode())
        return client.post(url, form | {"why": "a reason"} | more, headers=ENGLISH)

    return send


def draft():
    return RuleDraft.objects.select_related("tenant__uis", "based_on").get()


def skips(call, rules=None):
    """Return the rule by which the draft would skip a call."""
    return call.skipping_rule((rules or draft().value()).rule_set(str), now=call.started_at)


def is_saved(answer):
    return answer.status_code == 302


@pytest.mark.parametrize("name", ["number_filter", "employee_filter", "contact_filter"])
def test_only_these_with_nothing_chosen_is_refused(save, tenant, name):
    assert not is_saved(save(**{name: "ONLY"}))
    assert getattr(draft(), name) == "ALL"


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
    assert "+7 999 000-00-01" in html_text.fields(answer.content.decode())["draft-0-contacts"]
    assert draft().contacts == ""


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
    assert skips(call) == ("CONTACT" if is_matched else None)


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
    publish_rules_for_all(contact_filter="EXCEPT", contacts="Склад +7 999 000-00-01\nabc")
    call = add_call()
    assert skips(call) == "CONTACT"
    assert is_saved(save(contacts="Склад +7 999 000-00-01\nabc\n+79990000002"))


def test_rules_that_skip_all_of_yesterday_ask_with_the_count(save, publish, add_call, tenant):
    for _call in range(3):
        add_call()
    add_call(days=2, result="ANSWERED", is_lost=False)
    assert is_saved(save(upload_missed=None))  # a draft skips nothing
    answer = publish()
    assert not is_saved(answer)
    assert "3 of 3 calls of 27 November" in html_text.text(answer)
    assert current_rules(tenant).upload_missed is True
    assert "skip_all" not in html_text.fields(answer.content.decode())  # it is not ticked
    confirmed = html_text.fields(answer.content.decode()) | {"skip_all": "yes"}
    assert is_saved(save(contact_filter="EXCEPT", contacts="7999*"))
    assert not is_saved(publish(confirmed))  # Other rules than those that were confirmed.
    assert current_rules(tenant).upload_missed is True
    assert is_saved(publish(skip_all="yes"))
    assert current_rules(tenant).upload_missed is False
    assert is_saved(save(recording_wait_minutes="11"))
    assert is_saved(publish())  # All were skipped before: that is no news.


def test_last_day_with_calls_counts_and_one_passing_call_is_enough(save, publish, add_call, tenant, twin):
    add_call(of=twin)
    save(upload_missed=None)
    assert is_saved(publish())  # no calls of this client yet
    publish_rules(tenant, upload_missed=True)
    add_call(days=9)
    save(upload_missed=None)
    assert "1 of 1 calls of 19 November" in html_text.text(publish())
    add_call(days=9, result="ANSWERED", is_lost=False)
    assert is_saved(publish())


def test_bulk_change_asks_for_each_client_that_would_lose_all_calls(client, tenant, twin, add_call):
    client.force_login(create_user("olga", "Operator"))
    add_call()
    add_call(of=twin)
    form = {"clients": f"{tenant.pk},{twin.pk}", "rule": "upload_missed", "value": "False", "why": "a reason"}
    preview = client.post(RULE, form, headers=ENGLISH)
    assert html_text.text(preview).count("1 of 1 calls of 27 November") == 2
    shown = html_text.fields(preview.content.decode()) | {"confirm": "yes"}
    assert bulk_rule_change.PUBLISH not in shown  # none is ticked
    done = client.post(RULE, shown | {bulk_rule_change.PUBLISH: str(tenant.pk)}, follow=True, headers=ENGLISH)
    assert [message.level_tag for message in done.context["messages"]] == ["success", "warning"]
    assert [current_rules(one).upload_missed for one in (tenant, twin)] == [False, True]
    assert [draft_of(one).upload_missed for one in (tenant, twin)] == [False, False]


def test_bulk_change_needs_its_own_preview(client, tenant):
    client.force_login(create_user("olga", "Operator"))
    form = {"clients": str(tenant.pk), "rule": "upload_missed", "value": "False", "why": "a reason"}
    unseen = client.post(RULE, form | {"confirm": "yes"})
    other = html_text.fields(client.post(RULE, form | {"rule": "owner", "value": "FIRST_TALKER"}).content.decode())
    shown = client.post(RULE, form | {"confirm": "yes", "previewed": other["previewed"]})
    opposite = html_text.fields(unseen.content.decode()) | {"value": "True", "confirm": "yes"}
    answers = [unseen, shown, client.post(RULE, opposite)]
    odd = ("{", "[]", '{"clients": [1], "rule": "upload_missed", "value": "False"}')
    answers += [client.post(RULE, form | {"confirm": "yes", "previewed": previewed}) for previewed in odd]
    assert [(answer.status_code, answer.context["is_preview"]) for answer in answers] == [(200, True)] * 6
    assert (draft().upload_missed, current_rules(tenant).upload_missed) == (True, True)
    assert client.post(RULE, html_text.fields(shown.content.decode()) | {"confirm": "yes"}).status_code == 302
    assert current_rules(tenant).upload_missed is False


def test_last_number_of_a_filter_cannot_be_deleted(save, client, tenant):
    number = VirtualNumber.objects.get(number=NUMBER)
    publish_rules(tenant, number_filter="ONLY", numbers=[number])
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
    publish_rules(tenant, number_filter=before, numbers=[kept, deleted])
    url = reverse("admin:tenants_tenant_change", args=[tenant.pk])
    form = html_text.fields(client.get(url).content.decode())
    row = next(
        name.removesuffix("number")
        for name, value in form.items()
        if name.endswith("-number") and value == deleted.number
    )
    typed = {"draft-0-number_filter": "ONLY", "draft-0-numbers": [deleted.pk], f"{row}DELETE": "on"}
    answer = client.post(url, form | typed)
    assert (answer.status_code, draft().number_filter, draft().numbers.count()) == (200, before, 2)
    other = {"draft-0-number_filter": "ONLY", "draft-0-numbers": [kept.pk], f"{row}DELETE": "on"}
    answer = client.post(url, form | other)
    assert (answer.status_code, list(draft().numbers.all())) == (302, [kept]), html_text.errors(answer)


@pytest.mark.parametrize("name", ["numbers", "employees"])
def test_only_these_with_rows_that_left_uis_is_refused_and_found(save, publish, tenant, name):
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
    assert is_saved(publish())
    assert [result.ok for result in rules_pass(Tenant.objects.get())] == [True]
    rows.update(**gone)  # UIS removed it later.
    assert [result.ok for result in rules_pass(Tenant.objects.get())] == [False]
    assert is_saved(save(recording_wait_minutes="11"))
    assert is_saved(publish()), "Nothing else must wait for that."


def test_message_has_the_day_in_the_language_of_the_reader(save, add_call, tenant):
    add_call()
    with translation.override("ru"):
        assert "27 ноября" in str(Forecast(date(2026, 11, 27), 41))
