"""The pages of a client's rules: draft, publish, discard, versions, roll back."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from tenants import rule_versions
from tenants.models import AuditLogEntry, RuleDraft, RuleVersion, Tenant
from tenants.rules import Rules, dumps
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import current_rules, draft_of, publish_rules
from tests.users import create_user

pytestmark = pytest.mark.one_database

ENGLISH = {"accept-language": "en"}


@pytest.fixture
def operator(client, tenant):
    user = create_user("olga", "Operator")
    client.force_login(user)
    return user


def address(name, tenant, *more):
    page = {"page": "tenant_change", "rules": "tenant_rules"}.get(name, f"tenant_rules_{name}")
    return reverse(f"admin:tenants_{page}", args=[tenant.pk, *more])


@pytest.fixture
def save(client, operator, tenant):
    """Save the client's page with other rules."""

    def send(**rules):
        url = address("page", tenant)
        form = html_text.fields(client.get(url, headers=ENGLISH).content.decode())
        typed = {f"draft-0-{name}": value for name, value in rules.items()}
        answer = client.post(url, {name: value for name, value in (form | typed).items() if value is not None})
        assert answer.status_code == 302, html_text.errors(answer)

    return send


def form_of(client, url):
    return html_text.fields(client.get(url, headers=ENGLISH).content.decode())


def test_saved_page_is_a_draft_until_it_is_published(client, save, operator, tenant, twin):
    assert client.get(address("page", tenant)).context["banner"]["differs"] is False
    save(upload_missed=None, number_filter="EXCEPT")
    assert current_rules(tenant) == Rules()
    banner = client.get(address("page", tenant)).context["banner"]
    assert (banner["differs"], banner["is_stale"], banner["edited_by"], banner["number"]) == (True, False, operator, 1)
    page = client.get(address("publish", tenant), headers=ENGLISH)
    assert [one.name for one in page.context["differences"]] == ["upload_missed", "number_filter"]
    answer = client.post(address("publish", tenant), html_text.fields(page.content.decode()) | {"why": "no missed"})
    assert answer.url == address("page", tenant)
    version = RuleVersion.objects.get(tenant=tenant, number=2)
    assert (version.why, version.published_by, version.value.upload_missed) == ("no missed", operator, False)
    assert client.get(address("page", tenant)).context["banner"]["differs"] is False
    assert current_rules(twin) == Rules()
    entries = AuditLogEntry.objects.filter(tenant=tenant, action="RULES_PUBLISHED")
    assert [entry.new for entry in entries] == ["no missed"]


@pytest.mark.parametrize("typed", [{"why": ""}, {"why": "x" * 501}, {"seen": ""}, {"seen": "1.0"}, {"seen": "2.x"}])
def test_incomplete_or_altered_form_publishes_nothing(client, save, tenant, typed):
    save(upload_missed=None)
    form = form_of(client, address("publish", tenant)) | {"why": "a reason"}
    assert client.post(address("publish", tenant), form | typed).status_code == 200
    assert (current_rules(tenant), RuleVersion.objects.filter(tenant=tenant).count()) == (Rules(), 1)


def test_draft_edited_after_the_page_was_opened_is_shown_again(client, save, tenant):
    save(upload_missed=None)
    form = form_of(client, address("publish", tenant)) | {"why": "a reason"}
    save(upload_answered=None)
    again = client.post(address("publish", tenant), form, headers=ENGLISH)
    assert (again.status_code, len(again.context["refusals"])) == (200, 1)
    assert [one.name for one in again.context["differences"]] == ["upload_answered", "upload_missed"]
    assert current_rules(tenant) == Rules()
    shown = html_text.fields(again.content.decode()) | {"why": "a reason"}
    assert client.post(address("publish", tenant), shown).status_code == 302


def test_two_operators_publish_one_version(client, save, tenant):
    save(upload_missed=None)
    form = form_of(client, address("publish", tenant)) | {"why": "a reason"}
    answers = [client.post(address("publish", tenant), form) for _operator in range(2)]
    assert [answer.status_code for answer in answers] == [302, 200]
    assert RuleVersion.objects.filter(tenant=tenant).count() == 2


def test_discarded_draft_equals_the_current_version(client, save, tenant):
    publish_rules(tenant, contacts="8 999 000-00-05", contact_filter="EXCEPT")
    before = draft_of(tenant).value()
    save(upload_missed=None, contacts="")
    form = form_of(client, address("publish", tenant))
    save(upload_answered=None)
    client.post(address("discard", tenant), form)  # of a page that is outdated
    assert draft_of(tenant).upload_answered is False
    client.post(address("discard", tenant), form_of(client, address("publish", tenant)))
    assert draft_of(tenant).value() == before == current_rules(tenant)
    assert AuditLogEntry.objects.filter(tenant=tenant, action="DRAFT_DISCARDED").count() == 1


def test_versions_are_listed_compared_and_rolled_back(client, operator, tenant):
    publish_rules(tenant, upload_missed=False)
    publish_rules(tenant, upload_answered=False)
    page = client.get(address("rules", tenant), headers=ENGLISH)
    assert [row["number"] for row in page.context["versions"]] == [3, 2, 1]
    compared = client.get(address("rules", tenant), {"from": "3", "to": "1"}, headers=ENGLISH).context["compared"]
    assert [one.name for one in compared["differences"]] == ["upload_answered", "upload_missed"]
    form = form_of(client, address("roll_back", tenant, 1))
    assert client.post(address("roll_back", tenant, 1), form).status_code == 302  # one click: the reason is filled in
    assert current_rules(tenant) == Rules() == draft_of(tenant).value()
    assert RuleVersion.objects.get(tenant=tenant, number=4).why
    assert client.post(address("roll_back", tenant, 1), form).status_code == 200  # an outdated page
    assert RuleVersion.objects.filter(tenant=tenant).count() == 4


@pytest.mark.parametrize("query", [{"from": "1", "to": "9"}, {"from": "x", "to": "1"}, {"from": "9" * 30, "to": "1"}])
def test_unknown_versions_are_not_found(client, operator, tenant, query):
    assert client.get(address("rules", tenant), query).status_code == 404
    assert client.get(address("roll_back", tenant, 9)).status_code == 404


def test_versions_of_another_client_are_not_found(client, operator, tenant, twin):
    publish_rules(twin, upload_missed=False)
    assert client.get(address("rules", tenant), {"from": "1", "to": "2"}).status_code == 404
    operator.sees_all_tenants = False
    operator.save()
    operator.visible_tenants.set([twin])
    for name, more in (("rules", ()), ("publish", ()), ("roll_back", (1,))):
        assert client.get(address(name, tenant, *more)).status_code == 404
    assert client.post(address("discard", tenant), {"seen": "1.x"}).status_code == 404


def test_support_reads_versions_and_publishes_nothing(client, tenant):
    publish_rules(tenant, contact_filter="EXCEPT", contacts=f"+{CONTACT}")
    RuleDraft.objects.filter(tenant=tenant).update(upload_missed=False)
    client.force_login(create_user("sveta", "Support"))
    draft = draft_of(tenant)
    why = {"seen": rule_versions.stamp(draft), "why": f"asked by +{CONTACT}", "by": None}
    rule_versions.publish(tenant.pk, now=timezone.now(), **why)
    page = client.get(address("rules", tenant), {"from": "1", "to": "3"}, headers=ENGLISH)
    assert (page.status_code, CONTACT in page.content.decode()) == (200, False)
    assert not AuditLogEntry.objects.filter(new__contains=CONTACT).exists()
    assert "roll-back" not in page.content.decode()
    assert "rules/publish" not in client.get(address("page", tenant)).content.decode()
    form = {"seen": "3.x", "why": "a reason"}
    for name, more in (("publish", ()), ("discard", ()), ("roll_back", (1,))):
        assert client.get(address(name, tenant, *more)).status_code == 403
        assert client.post(address(name, tenant, *more), form).status_code == 403
    assert RuleVersion.objects.filter(tenant=tenant).count() == 3


def test_whole_numbers_are_shown_to_those_who_may_see_them(client, operator, tenant):
    publish_rules(tenant, contact_filter="EXCEPT", contacts=f"+{CONTACT}")
    page = client.get(address("rules", tenant), {"from": "1", "to": "2"})
    assert f"+{CONTACT}" in page.content.decode()


def test_lists_are_compared_by_value(client, save, tenant, pbx):
    person = tenant.employees.get(uis_id=IVAN)
    number = tenant.virtual_numbers.get(number=NUMBER)
    save(employee_filter="EXCEPT", employees=[person.pk], number_filter="ONLY", numbers=[number.pk])
    page = client.get(address("publish", tenant), headers=ENGLISH)
    text = html_text.text(page)
    assert str(person) in text
    assert f"+{NUMBER}" in text
    client.post(address("publish", tenant), html_text.fields(page.content.decode()) | {"why": "lists"})
    assert (current_rules(tenant).employees, current_rules(tenant).numbers) == ((IVAN,), (NUMBER,))


# --- one rule for many clients

BULK = reverse("admin:tenants_tenant_bulk_rule_change")


@pytest.fixture
def preview(client, operator, tenant, twin):
    """Ask for the preview of other owners; return it with its form."""

    def ask():
        typed = {"rule": "owner", "value": "FIRST_TALKER", "why": "a reason"}
        answer = client.post(BULK, typed | {"clients": f"{tenant.pk},{twin.pk}"}, headers=ENGLISH)
        lines = {line.client: line for line in answer.context["lines"]}
        return lines, html_text.fields(answer.content.decode()) | {"confirm": "yes"}

    return ask


def owners(*clients):
    return [(draft_of(one).owner, current_rules(one).owner) for one in clients]


def test_ticked_clients_get_a_version_and_the_others_a_draft(client, preview, tenant, twin):
    lines, form = preview()
    assert all(line.is_ready for line in lines.values())
    client.post(BULK, form | {"publish": [str(twin.pk)]})
    assert owners(tenant, twin) == [("FIRST_TALKER", "LAST_TALKER"), ("FIRST_TALKER", "FIRST_TALKER")]
    assert [version.why for version in RuleVersion.objects.filter(number=2)] == ["a reason"]


def test_what_others_have_drafted_is_shown_and_not_ticked(client, preview, tenant, twin):
    RuleDraft.objects.filter(tenant=tenant).update(upload_missed=False)
    lines, form = preview()
    assert (len(lines[tenant.name].others), lines[tenant.name].is_ready, lines[twin.name].is_ready) == (1, False, True)
    assert form["publish"] == str(twin.pk)
    client.post(BULK, form | {"publish": [str(tenant.pk)]})
    assert (current_rules(tenant).owner, current_rules(tenant).upload_missed) == ("FIRST_TALKER", False)


def test_stale_draft_is_not_published_whatever_is_ticked(client, preview, tenant, twin):
    RuleDraft.objects.filter(tenant=tenant).update(upload_missed=False)
    version = RuleVersion.objects.create(
        tenant=tenant, number=2, rules=dumps(Rules(send_recording=False)), published_at=timezone.now()
    )
    Tenant.objects.filter(pk=tenant.pk).update(rule_version=version)
    lines, form = preview()
    assert lines[tenant.name].stale
    answer = client.post(BULK, form | {"publish": [str(tenant.pk), str(twin.pk)]}, follow=True, headers=ENGLISH)
    assert owners(tenant, twin) == [("FIRST_TALKER", "LAST_TALKER"), ("FIRST_TALKER", "FIRST_TALKER")]
    assert [message.level_tag for message in answer.context["messages"]] == ["success", "warning"]


def test_altered_preview_changes_nobody(client, preview, operator, tenant, twin):
    _lines, form = preview()
    seen = json.loads(form["previewed"])
    seen["clients"] = {str(tenant.pk): "1.0", str(twin.pk): None, "x": "1.0", "999999": "1.0"}
    boxes = {"publish": [str(tenant.pk), str(twin.pk), "x", "999999"]}
    client.post(BULK, form | boxes | {"previewed": json.dumps(seen)})
    assert owners(tenant, twin) == [("LAST_TALKER", "LAST_TALKER")] * 2
    operator.sees_all_tenants = False
    operator.save()
    client.post(BULK, form | boxes)
    assert owners(tenant, twin) == [("LAST_TALKER", "LAST_TALKER")] * 2
