"""Every pop-up, call and change of status holds the version of the rules that decided it."""

import json
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import RestrictedError
from django.utils import timezone

from crm.models import Command, Popup
from telephony.calls import manual
from telephony.models import Call, CallLogEntry, Notification
from tenants import rule_versions
from tenants.models import AuditLogEntry, Employee, ImmutableVersion, RuleDraft, RuleVersion, Tenant, VirtualNumber
from tenants.rules import Rules, dumps
from tests import needs, task_queue
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.rules import current_rules, draft_of, publish_rules


def numbers(model, **filters):
    return list(model.objects.filter(**filters).order_by("pk").values_list("rule_version__number", flat=True))


def logged(step):
    entries = CallLogEntry.objects.filter(step=step).order_by("pk")
    return [entry.details.get("version") for entry in entries]


def missed(pbx):
    return pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])


@pytest.fixture
def draft(tenant):
    """Change the draft of the client as their page does; return its stamp."""

    def change(**values):
        RuleDraft.objects.filter(tenant=tenant).update(**values)
        return rule_versions.stamp(draft_of(tenant))

    return change


def publish(tenant, seen, *, why="a reason", by=None):
    return rule_versions.publish(tenant.pk, seen=seen, why=why, by=by, now=timezone.now())


# --- decisions


def test_rule_changed_between_ring_and_upload(notify, pbx, crm, tenant, twin):
    call = missed(pbx)
    notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))
    assert numbers(Popup) == [1]
    publish_rules(tenant, recording_wait_minutes=7)
    notify(call.notification("lost_call"))
    assert [sent["externalId"] for sent in crm.calls] == [f"uis-{call.session_id}"]
    assert (numbers(Popup), numbers(Call), logged("EVALUATE"), logged("UPLOAD")) == ([1], [2], [2], [2])
    assert current_rules(twin) == Rules()


def test_rule_changed_while_the_crm_is_down(notify, pbx, crm, crm_world, tenant, later):
    """The CRM may have taken the record that it did not confirm, so the version of that record goes on to decide."""
    crm_world.break_down("503")
    notify(missed(pbx).notification("lost_call"))
    assert (numbers(Call), list(Call.objects.values_list("state", flat=True))) == ([1], ["READY"])
    publish_rules(tenant, recording_wait_minutes=7)
    crm_world.repair()
    later(timedelta(minutes=10))
    assert (len(crm.calls), numbers(Call), logged("EVALUATE")) == (1, [1], [1])
    assert logged("UPLOAD")[-1] == 1


def test_skip_names_its_version_and_a_retry_the_next_one(notify, pbx, crm, tenant, run_queue):
    publish_rules(tenant, upload_missed=False)
    call = missed(pbx)
    notify(call.notification("lost_call"))
    assert (numbers(Call), logged("EVALUATE"), crm.calls) == ([2], [2], [])
    publish_rules(tenant, upload_missed=True)
    notify(call.notification("lost_call"))  # a repeat tells nothing new
    assert (numbers(Call), crm.calls) == ([2], [])
    manual.retry(Call.objects.get(), now=timezone.now())
    run_queue()
    assert (numbers(Call), logged("EVALUATE"), len(crm.calls)) == ([3], [2, 3], 1)


def test_popup_that_opens_again_holds_the_version_of_then(notify, pbx, crm, tenant):
    call = missed(pbx)
    ring = {"employee_id": IVAN, "at": timezone.now()}
    notify(call.notification("waiting", **ring))
    Popup.objects.update(state=Popup.State.CLOSED)
    publish_rules(tenant, recording_wait_minutes=7)
    notify(call.notification("waiting", **ring) | {"leg_id": 1234567})
    assert (numbers(Popup), Popup.objects.get().state) == ([2], "OPEN")


def test_suppressed_popup_names_rule_and_version(notify, pbx, crm, tenant):
    publish_rules(tenant, popup_incoming="OFF")
    notify(missed(pbx).notification("waiting", employee_id=IVAN, at=timezone.now()))
    assert Notification.objects.get().suppressed_by == ("POPUP_OFF", "2")


def test_change_of_status_holds_its_version(client, pbx, tenant, run_queue):
    publish_rules(tenant, status_busy="not_at_work")
    form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101", "status": "busy"}
    address = f"/hooks/retailcrm/{tenant.crm.hook}/change-user-status/"
    assert client.post(address, form).status_code == 200
    run_queue()
    publish_rules(tenant, status_sync="OFF")
    client.post(address, form | {"status": "dinner"})
    assert numbers(Command) == [2, 3]
    assert list(Command.objects.order_by("pk").values_list("state", flat=True)) == ["DONE", "REFUSED"]


def test_call_of_the_report_holds_the_current_version(notify, pbx, crm, tenant):
    publish_rules(tenant, recording_wait_minutes=7)
    began = timezone.now() - timedelta(hours=1)
    pbx.call(contact=CONTACT, number=NUMBER, started_at=began, rings=[IVAN])  # only UIS's report has it
    since, till = (began + timedelta(minutes=minutes) for minutes in (-10, 30))
    period = ("--from", since.isoformat(), "--till", till.isoformat())
    call_command("reconcile_calls", "--tenant", tenant.slug, *period, stdout=StringIO())
    task_queue.drain()
    assert numbers(Call) == [2]


def test_explanation_reads_the_version_that_decided(notify, pbx, tenant, capsys):
    publish_rules(tenant, upload_missed=False)
    call = missed(pbx)
    notify(call.notification("lost_call"))

    def explain():
        call_command("explain_call", str(call.session_id), tenant=tenant.slug)
        return json.loads(capsys.readouterr().out)

    before = explain()
    publish_rules(tenant, upload_missed=True)
    after = explain()
    assert (before["rule_version"], after["rule_version"]) == (2, 2)
    assert before["message"] == after["message"]
    assert [one["reason"] for one in before["warnings"]] == []
    assert [one["reason"] for one in after["warnings"]] == ["RULE_CHANGED"]


# --- versions


@pytest.mark.parametrize(
    "change",
    [
        lambda version: version.save(),
        lambda version: version.delete(),
        lambda version: RuleVersion.objects.update(why="other"),
        lambda version: RuleVersion.objects.filter(pk=version.pk).delete(),
        lambda version: RuleVersion.objects.bulk_update([version], ["why"]),
    ],
)
def test_version_is_immutable(tenant, change):
    before = list(RuleVersion.objects.values())
    with pytest.raises(ImmutableVersion):
        change(tenant.current_version)
    assert list(RuleVersion.objects.values()) == before


def test_number_is_used_once(tenant):
    with pytest.raises(IntegrityError), transaction.atomic():
        RuleVersion.objects.create(tenant=tenant, number=1, rules=dumps(Rules()), published_at=timezone.now())


def test_version_of_a_call_cannot_be_missing(tenant, notify, pbx):
    notify(missed(pbx).notification("lost_call"))
    with pytest.raises(IntegrityError), transaction.atomic():
        Call.objects.update(rule_version=None)
    with pytest.raises(RestrictedError):
        RuleVersion._base_manager.all().delete()


def test_deleted_client_takes_versions_along(tenant, twin, notify, pbx):
    notify(missed(pbx).notification("lost_call"))
    publish_rules(tenant, upload_missed=False)
    tenant.delete()
    assert set(RuleVersion.objects.values_list("tenant", flat=True)) == {twin.pk}
    connection.check_constraints()


def test_erased_number_is_a_token_in_every_version(tenant, notify, pbx, crm, later):
    publish_rules(tenant, contact_filter="EXCEPT", contacts=f"+{CONTACT}\n+79990000077")
    publish_rules(tenant, recording_wait_minutes=3)
    call_command("erase_number", f"+{CONTACT}", tenant=tenant.slug, stdout=StringIO())
    versions = [version.value.contacts for version in RuleVersion.objects.filter(number__gt=1)]
    assert all(CONTACT not in contacts and len(contacts) == 2 for contacts in versions)
    assert not rule_versions.is_drafting(draft_of(tenant), Tenant.objects.get(pk=tenant.pk))
    later(timedelta(minutes=1))
    notify(missed(pbx).notification("lost_call"))
    assert (crm.calls, list(Call.objects.values_list("skip_reason", flat=True))) == ([], ["CONTACT"])


# --- publishing


def test_publishing_makes_the_draft_the_next_version(tenant, twin, draft, operator):
    seen = draft(upload_missed=False, contact_filter="EXCEPT", contacts="8 999 000-00-01")
    assert current_rules(tenant) == Rules()
    version = publish(tenant, seen, by=operator)
    stored = Tenant.objects.select_related("rule_version").get(pk=tenant.pk)
    assert (stored.rule_version, version.number) == (version, 2)
    assert (version.published_by, version.why) == (operator, "a reason")
    assert (stored.rules.upload_missed, stored.rules.contacts) == (False, (CONTACT,))
    assert not rule_versions.is_drafting(draft_of(tenant), stored)
    entries = AuditLogEntry.objects.filter(tenant=tenant, object_repr="ruleversion 2").order_by("pk")
    assert [(one.action, one.field, one.old, one.new) for one in entries] == [
        ("RULES_PUBLISHED", "", "1", "a reason"),
        ("CHANGED", "upload_missed", "True", "False"),
        ("CHANGED", "contact_filter", "ALL", "EXCEPT"),
        ("CHANGED", "contacts", "", "7999***0001"),
    ]
    assert (current_rules(twin), AuditLogEntry.objects.filter(tenant=twin).count()) == (Rules(), 0)


def refusals(tenant, seen, **values):
    before = (list(RuleVersion.objects.values()), AuditLogEntry.objects.count(), Tenant.objects.get(pk=tenant.pk))
    with pytest.raises(ValidationError) as refused:
        publish(tenant, seen, **values)
    after = (list(RuleVersion.objects.values()), AuditLogEntry.objects.count(), Tenant.objects.get(pk=tenant.pk))
    assert (before, before[2].rule_version_id) == (after, after[2].rule_version_id)
    return refused.value.messages


def test_draft_edited_meanwhile_is_refused(tenant, draft):
    seen = draft(upload_missed=False)
    draft(upload_answered=False)
    assert refusals(tenant, seen) == [rule_versions.EDITED]


def test_second_of_two_operators_is_refused(tenant, draft):
    seen = draft(upload_missed=False)
    publish(tenant, seen)
    assert refusals(tenant, seen) == [rule_versions.MOVED_ON]


def test_stale_draft_is_refused_until_it_is_discarded(tenant, draft):
    publish(tenant, draft(upload_missed=False))
    draft(upload_answered=False)
    rule_versions.roll_back(tenant.pk, 1, seen=2, why="back", by=None, now=timezone.now())
    stale = draft_of(tenant)
    assert (stale.upload_answered, stale.based_on.number) == (False, 2)
    [sentence] = refusals(tenant, rule_versions.stamp(stale))
    assert "3" in sentence
    rule_versions.discard(tenant.pk, seen=rule_versions.stamp(stale), by=None, now=timezone.now())
    assert (draft_of(tenant).value(), draft_of(tenant).based_on.number) == (Rules(), 3)


def test_equal_draft_is_refused(tenant, draft):
    assert refusals(tenant, draft()) == [rule_versions.NO_DIFFERENCE]


def test_list_that_lets_nothing_pass_is_refused(tenant, draft):
    assert refusals(tenant, draft(number_filter="ONLY"))
    draft_of(tenant).numbers.set(VirtualNumber.objects.filter(tenant=tenant, number=NUMBER))
    VirtualNumber.objects.filter(tenant=tenant).update(is_active=False)
    assert refusals(tenant, draft())
    VirtualNumber.objects.filter(tenant=tenant).update(is_active=True)
    assert publish(tenant, draft()).value.numbers == (NUMBER,)


def test_discard_of_another_draft_is_refused(tenant, draft):
    seen = draft(upload_missed=False)
    draft(upload_answered=False)
    with pytest.raises(ValidationError):
        rule_versions.discard(tenant.pk, seen=seen, by=None, now=timezone.now())
    assert draft_of(tenant).upload_answered is False


# --- back to an earlier version


def test_roll_back_publishes_the_earlier_rules_again(tenant, draft):
    publish_rules(tenant, employee_filter="EXCEPT", employees=Employee.objects.filter(tenant=tenant, uis_id=IVAN))
    earlier = current_rules(tenant)
    publish_rules(tenant, employee_filter="ALL", employees=[])
    version = rule_versions.roll_back(tenant.pk, 2, seen=3, why="back", by=None, now=timezone.now())
    assert (version.number, version.value, current_rules(tenant)) == (4, earlier, earlier)
    assert draft_of(tenant).value() == earlier


def test_roll_back_keeps_what_uis_no_longer_has(tenant, notify, pbx, crm):
    publish_rules(tenant, employee_filter="EXCEPT", employees=Employee.objects.filter(tenant=tenant, uis_id=IVAN))
    publish_rules(tenant, employee_filter="ALL", employees=[])
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).delete()
    version = rule_versions.roll_back(tenant.pk, 2, seen=3, why="back", by=None, now=timezone.now())
    assert (version.value.employees, draft_of(tenant).value().employees) == ((IVAN,), (IVAN,))
    RuleDraft.objects.filter(tenant=tenant).update(upload_answered=False)
    assert publish(tenant, rule_versions.stamp(draft_of(tenant))).value.employees == (IVAN,)


def test_roll_back_to_rules_that_let_nothing_pass_is_refused(tenant):
    publish_rules(tenant, employee_filter="ONLY", employees=Employee.objects.filter(tenant=tenant, uis_id=IVAN))
    publish_rules(tenant, employee_filter="ALL")
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(is_dismissed=True)
    with pytest.raises(ValidationError):
        rule_versions.roll_back(tenant.pk, 2, seen=3, why="back", by=None, now=timezone.now())
    assert RuleVersion.objects.filter(tenant=tenant).count() == 3


def test_roll_back_of_an_outdated_page_is_refused(tenant):
    publish_rules(tenant, upload_missed=False)
    publish_rules(tenant, upload_answered=False)
    with pytest.raises(ValidationError):
        rule_versions.roll_back(tenant.pk, 1, seen=2, why="back", by=None, now=timezone.now())
    with pytest.raises(RuleVersion.DoesNotExist):
        rule_versions.roll_back(tenant.pk, 9, seen=3, why="back", by=None, now=timezone.now())


# --- at the same time


@needs.two_connections
@pytest.mark.django_db(transaction=True)
def test_two_operators_at_once_publish_one_version(tenant, draft):
    seen, outcomes, together = draft(upload_missed=False), [], threading.Barrier(2)

    def run():
        together.wait()
        try:
            outcomes.append(publish(tenant, seen).number)
        except ValidationError as exc:
            outcomes.extend(exc.messages)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _operator in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == sorted(map(str, [2, rule_versions.MOVED_ON]))
    assert RuleVersion.objects.filter(tenant=tenant).count() == 2


def test_publishing_breaks_off_whole(tenant, draft, monkeypatch):
    """A fault at the last write leaves neither a version nor a pointer."""
    seen = draft(upload_missed=False)
    monkeypatch.setattr(rule_versions, "_rebase", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(tenant, seen)
    assert (current_rules(tenant), RuleVersion.objects.filter(tenant=tenant).count()) == (Rules(), 1)
    assert not AuditLogEntry.objects.filter(action="RULES_PUBLISHED").exists()
