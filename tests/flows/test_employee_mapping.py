"""Employee mapping: IDs unknown to the CRM are counted, employees are linked, and waiting calls are uploaded."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from crm import integration_module, user_linking
from crm import tasks as crm_tasks
from crm.employee_mapping import actions
from crm.employee_mapping.overview import load_overview
from crm.employee_mapping.suggestions import MatchReason
from crm.models import Popup, UnknownId
from crm.retailcrm.types import User as RemoteUser
from crm.retailcrm.types import UserList
from telephony import task_names, tasks
from telephony.models import Call
from tenants.models import AuditLogEntry, CrmUser, Employee, Tenant, User, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.flows.test_schedules import codes, links
from tests.users import create_user

pytestmark = pytest.mark.one_database

GONE_AFTER = timedelta(minutes=6)


@pytest.fixture
def hourly(run_queue):
    def run():
        tasks.sync_all()
        run_queue()

    return run


@pytest.fixture
def page(tenant):
    return reverse("admin:tenants_tenant_employee_mapping", args=[tenant.pk])


@pytest.fixture
def act(admin_client, page):
    """Run an action of the page; return the messages with their levels."""

    def send(act, *, url=page, client=admin_client, **form):
        target = Employee.objects.filter(pk=form.get("employee")).first()
        number = VirtualNumber.objects.filter(pk=form.get("number")).first()
        seen = target.link_state if target else number.site if number else ""
        answer = client.post(url, {"act": act, "confirmed": "yes", "seen": seen, **form}, follow=True)
        assert answer.redirect_chain == [(url, 302)]
        return [(message.level_tag, str(message)) for message in answer.context["messages"]]

    return send


@pytest.fixture
def ring(pbx, notify):
    def call(employee_id):
        ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[employee_id])
        notify(ringing.notification("waiting", employee_id=employee_id, at=timezone.now()))
        return ringing

    return call


def overview(tenant):
    return load_overview(Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk), timezone.now())


def anna():
    return Employee.objects.get(tenant__slug="romashka", uis_id=ANNA)


def crm_user(crm_id, slug="romashka"):
    return CrmUser.objects.get(tenant__slug=slug, crm_id=crm_id)


def unknown(tenant):
    return [(row.kind, row.value, row.count, [str(owner) for owner in row.owners]) for row in overview(tenant).unknown]


def suggestions(tenant):
    return {row.employee.uis_id: row.suggestions for row in overview(tenant).unlinked}


def test_unknown_extension_is_listed_with_its_count_and_owner(ring, notify, crm, tenant, stranger):
    crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"].pop(0)
    ringing = ring(IVAN)
    assert unknown(tenant) == [("CODE", "101", 1, ["Иванов Иван (101)"])]
    notify(ringing.notification("lost_call", at=timezone.now()))
    assert unknown(tenant) == [("CODE", "101", 2, ["Иванов Иван (101)"])]
    assert overview(stranger).unknown == []


def test_unknown_user_is_listed(ring, crm, tenant):
    Employee.objects.filter(uis_id=IVAN).update(crm_user_id=999)
    ring(IVAN)
    assert ("USER", "999", 1, ["Иванов Иван (101)"]) in unknown(tenant)


def test_users_and_stores_unknown_to_the_module_are_listed(crm, hourly, tenant):
    crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"].append(
        {"userId": 77, "code": "7"}
    )
    VirtualNumber.objects.filter(number=NUMBER).update(site="no-such-shop")
    hourly()
    assert unknown(tenant) == [("STORE", "no-such-shop", 1, []), ("USER", "77", 1, [])]


def test_only_the_last_seven_days_are_counted_in_the_tenants_zone(tenant, time_machine):
    time_machine.move_to("2026-03-10T22:30:00+00:00")  # the 11th in Moscow
    for day, times in (("2026-03-11", 2), ("2026-03-05", 3), ("2026-03-04", 50)):
        UnknownId.objects.create(tenant=tenant, kind="CODE", value="555", last_seen_on=day, count=times)
    found = overview(tenant).unknown
    assert [(row.value, row.count, row.last.isoformat()) for row in found] == [("555", 5, "2026-03-11")]


def test_count_is_of_the_tenants_day(ring, crm, tenant, pbx, time_machine):
    time_machine.move_to("2026-03-10T22:30:00+00:00")
    del crm.users[27]
    ring(IVAN)
    assert {day.isoformat() for day in UnknownId.objects.values_list("last_seen_on", flat=True)} == {"2026-03-11"}


def test_popup_with_known_ids_counts_nothing(ring, crm, tenant):
    ring(IVAN)
    assert not UnknownId.objects.exists()


def test_failed_count_leaves_the_popup_open(pbx, notify, crm, tenant, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(UnknownId, "record", fail)
    crm.add_user(31)
    Employee.objects.filter(uis_id=ANNA).update(crm_user_id=31)  # known by ID, not yet by extension
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[ANNA])
    notify(ringing.notification("waiting", employee_id=ANNA, at=timezone.now()))
    assert list(crm.popups()) == [31]
    assert Popup.objects.get().state == "OPEN"
    assert tenant.notifications.get().outcome == "DONE"
    notify(ringing.notification("lost_call", at=timezone.now()))
    assert Popup.objects.get().state == "CLOSED"


@pytest.mark.slow
def test_link_makes_the_next_popup_reach_the_user(act, ring, run_queue, crm, hourly, tenant, stranger):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    assert links()[ANNA] is None
    suggestion = suggestions(tenant)[ANNA].clear
    assert (suggestion.user.crm_id, suggestion.reason) == (31, "NAME")
    ring(ANNA)
    assert crm.popups() == {}
    messages = act("link", employee=anna().pk, user=suggestion.user.pk)
    assert [level for level, _text in messages] == ["success"]
    run_queue()
    assert (31, "103") in codes(crm)
    ring(ANNA)
    assert list(crm.popups()) == [31]
    hourly()
    assert (links()[ANNA], anna().linked_by) == (31, "MANUAL")
    assert suggestions(tenant) == {}


def test_linking_is_in_the_audit_log(act, crm, hourly, tenant):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    act("link", employee=anna().pk, user=crm_user(31).pk)
    act("unlink", employee=anna().pk)
    act("not_needed", employee=anna().pk)
    rows = AuditLogEntry.objects.order_by("pk").values_list(
        "action", "object_repr", "field", "old", "new", "user__username"
    )
    part = "employee Сидорова Анна (103)"  # the model's name, which the audit log translates
    assert list(rows) == [
        ("LINKED", part, "crm_user_id", "", "Анна Сидорова · 31", "admin"),
        ("CHANGED", part, "crm_user_id", "Анна Сидорова · 31", "", "admin"),
        ("CHANGED", part, "linked_by", "MANUAL", "NOT_NEEDED", "admin"),
    ]


def test_two_candidates_are_offered_and_not_linked(admin_client, page, crm, hourly, tenant):
    crm.add_user(31, first_name="Анна", last_name="Сидорова", email="a1@example.com")
    crm.add_user(32, first_name="Анна", last_name="Сидорова", email="a2@example.com")
    hourly()
    assert links()[ANNA] is None
    offered = suggestions(tenant)[ANNA]
    assert (offered.clear, [one.user.crm_id for one in offered.candidates]) == (None, [31, 32])
    html = admin_client.get(page).content.decode().split('id="mapping-unlinked"')[1].split('id="mapping-users"')[0]
    assert html.count("<li>") == 2
    assert 'name="user" value="' not in html  # no button that links to one of them
    assert "selected" not in html


def test_phone_in_any_format_is_a_match_reason(crm, hourly, tenant):
    crm.add_user(31, first_name="Анечка", phone="8 (999) 000-00-13")
    hourly()
    assert (crm_user(31).phone, suggestions(tenant)[ANNA].clear.reason) == ("79990000013", "PHONE")


def test_extension_of_two_users_in_the_crm_gives_two_candidates(crm, hourly, tenant, pbx):
    rows = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"]
    for crm_id in (31, 32):
        crm.add_user(crm_id)
        rows.append({"userId": crm_id, "code": "103"})
    hourly()
    assert [(one.user.crm_id, one.reason) for one in suggestions(tenant)[ANNA].candidates] == [
        (31, "EXTENSION"),
        (32, "EXTENSION"),
    ]


@pytest.mark.slow
def test_users_are_stored_with_the_values_of_the_crm(crm, hourly, tenant, stranger, later):
    crm.add_user(31, first_name="Новый", email="New@example.com", active=False)["patronymic"] = "Ильич"
    hourly()
    known = CrmUser.objects.filter(tenant=tenant).values_list("crm_id", "name", "email", "is_active")
    assert sorted(known) == [
        (27, "Иван Иванов", "ivan@example.com", True),
        (28, "Пётр Петров", "petr@example.com", True),
        (31, "Новый Ильич", "new@example.com", False),
    ]
    assert [user.crm_id for user in overview(tenant).free_users] == []
    removed = crm_user(28).pk
    del crm.users[27]
    crm.users[31]["active"] = True
    hourly()
    later(GONE_AFTER)
    assert sorted(CrmUser.objects.filter(tenant=tenant).values_list("crm_id", "is_active")) == [(28, True), (31, True)]
    assert crm_user(28).pk == removed
    assert [user.crm_id for user in overview(tenant).free_users] == [31]
    assert sorted(CrmUser.objects.filter(tenant=stranger).values_list("crm_id", flat=True)) == [27, 28]


@pytest.mark.parametrize("count", [4, 300])
def test_storing_users_needs_few_queries(tenant, django_assert_num_queries, django_assert_max_num_queries, count):
    known = [RemoteUser(user_id=user_id, first_name=name) for user_id, name in ((27, "Иван"), (28, "Пётр"))]
    new = [RemoteUser(user_id=number, first_name=f"Имя {number}") for number in range(1000, 998 + count)]
    users, now = UserList((*known, *new, *new[:1])), timezone.now()  # a page may repeat a user
    with django_assert_max_num_queries(6):  # rows are written in batches
        user_linking.sync_crm_users(tenant, users, now=now)
    with django_assert_num_queries(3):
        user_linking.sync_crm_users(tenant, users, now=now)
    assert tenant.crm_users.count() == count


def test_dismissed_employee_is_unlinked_and_gets_the_user_suggested_on_return(act, pbx, crm, hourly, tenant, later):
    crm.users[28]["email"] = "other@example.com"
    crm.users[28]["firstName"] = "Кто-то"
    hourly()
    removed = pbx.employees.pop(PETR)
    hourly()
    later(GONE_AFTER)
    gone = Employee.objects.get(uis_id=PETR)
    assert (gone.is_dismissed, gone.crm_user_id, gone.previous_crm_user_id) == (True, None, 28)
    assert PETR not in suggestions(tenant)
    pbx.employees[PETR] = removed
    hourly()
    assert links()[PETR] is None
    suggestion = suggestions(tenant)[PETR].clear
    assert (suggestion.user.crm_id, suggestion.reason) == (28, "PREVIOUS")
    act("link", employee=gone.pk, user=suggestion.user.pk)
    gone.refresh_from_db()
    assert (gone.crm_user_id, gone.linked_by, gone.previous_crm_user_id) == (28, "MANUAL", None)


def test_user_removed_and_added_again_is_suggested(crm, hourly, tenant):
    crm.users[28]["active"] = False
    hourly()
    crm.users[28] |= {"active": True, "email": "", "firstName": "Кто-то"}
    hourly()
    assert (links()[PETR], suggestions(tenant)[PETR].clear.reason) == (None, "PREVIOUS")


def test_returned_employee_with_the_same_email_is_linked_automatically(pbx, crm, hourly, tenant, later):
    removed = pbx.employees.pop(PETR)
    hourly()
    later(GONE_AFTER)
    assert Employee.objects.get(uis_id=PETR).is_dismissed is True
    pbx.employees[PETR] = removed
    hourly()
    back = Employee.objects.get(uis_id=PETR)
    assert (back.crm_user_id, back.linked_by, back.previous_crm_user_id) == (28, "EMAIL", None)


def test_dismissed_employee_with_a_user_is_listed_and_unlinked(act, pbx, crm, crm_world, tenant, later):
    crm_world.break_down("503")
    del pbx.employees[PETR]
    tasks.sync_employees(tenant.pk)
    later(GONE_AFTER)
    assert [(row.employee.uis_id, row.user.crm_id) for row in overview(tenant).departed] == [(PETR, 28)]
    crm_world.repair()
    act("unlink", employee=Employee.objects.get(uis_id=PETR).pk)
    gone = Employee.objects.get(uis_id=PETR)
    assert (gone.crm_user_id, gone.linked_by, gone.previous_crm_user_id) == (None, "", 28)
    assert overview(tenant).departed == []


def test_manually_unlinked_employee_stays_unlinked_but_is_suggested(act, run_queue, crm, hourly, tenant):
    act("unlink", employee=Employee.objects.get(uis_id=PETR).pk)
    run_queue()
    hourly()
    assert links()[PETR] is None
    assert codes(crm) == {(27, "101")}
    assert suggestions(tenant)[PETR].clear.reason == "EMAIL"


def test_employee_without_crm_is_not_linked_until_undone(act, crm, hourly, tenant):
    act("not_needed", employee=anna().pk)
    crm.add_user(31, email="anna@example.com")
    hourly()
    assert (links()[ANNA], suggestions(tenant), [one.uis_id for one in overview(tenant).not_needed]) == (
        None,
        {},
        [ANNA],
    )
    inactive = UserList(tuple(RemoteUser(user_id=user_id, is_active=False) for user_id in (27, 28, 31)))
    assert user_linking.save(tenant, inactive, [], now=timezone.now()).unlinked == 2  # Ivan and Petr
    act("unmark_not_needed", employee=anna().pk)
    hourly()
    assert (links()[ANNA], overview(tenant).not_needed) == (31, [])


def test_database_rejects_a_user_of_an_employee_without_crm(tenant):
    with pytest.raises(IntegrityError), transaction.atomic():
        Employee.objects.filter(uis_id=IVAN).update(linked_by="NOT_NEEDED")


def test_old_page_does_not_undo_a_newer_link(act, crm, hourly, tenant):
    crm.add_user(31)
    crm.add_user(32)
    hourly()
    seen = anna().link_state
    act("link", employee=anna().pk, user=crm_user(32).pk, seen=seen)
    for form in ({"act": "link", "user": crm_user(31).pk}, {"act": "unlink"}, {"act": "not_needed"}):
        ((level, _text),) = act(form.pop("act"), employee=anna().pk, seen=seen, **form)
        assert (level, anna().crm_user_id) == ("error", 32)
    assert AuditLogEntry.objects.count() == 1


@pytest.mark.parametrize("reason", ["linked", "inactive", "gone", "dismissed"])
def test_link_is_rejected_with_the_reason(act, crm, hourly, tenant, reason):
    crm.add_user(31)
    hourly()
    user = crm_user(28 if reason == "linked" else 31)
    match reason:
        case "inactive":
            CrmUser.objects.filter(pk=user.pk).update(is_active=False)
        case "gone":
            CrmUser.objects.filter(pk=user.pk).delete()
        case "dismissed":
            Employee.objects.filter(uis_id=ANNA).update(is_dismissed=True)
    ((level, text),) = act("link", employee=anna().pk, user=user.pk)
    assert level == "error"
    assert ("Петров" in text) == (reason == "linked")
    assert anna().crm_user_id is None
    assert not AuditLogEntry.objects.exists()


@pytest.mark.parametrize(
    "form",
    [
        {"act": "link"},
        {"act": "link", "employee": "x", "user": "1"},
        {"act": "link", "employee": "999999999", "user": "1"},
        {"act": "unknown", "employee": "1"},
        {},
        {"act": "set_store", "number": "1"},
        {"act": "unmark_not_needed", "employee": "ivan"},
        {"act": "not_needed", "employee": "ivan"},
        {"act": "unlink", "employee": "anna"},
        {"act": "resend_calls", "employee": "anna"},
        {"act": "set_store", "number": "number", "store": "no-such-shop"},
    ],
)
def test_bad_input_is_answered_with_an_error(admin_client, page, tenant, form):
    rows = {
        "ivan": Employee.objects.get(uis_id=IVAN).pk,
        "anna": anna().pk,
        "number": VirtualNumber.objects.get(number=NUMBER).pk,
    }
    before = links()
    answer = admin_client.post(page, {name: rows.get(value, value) for name, value in form.items()}, follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert links() == before
    assert not AuditLogEntry.objects.exists()


def test_page_cannot_change_another_tenants_employees(act, crm_world, page, hourly, tenant, stranger):
    crm_world.accounts["other.retailcrm.ru"].add_user(51, first_name="Чужая")
    hourly()
    theirs = Employee.objects.create(tenant=stranger, uis_id=9, full_name="Чужой")
    number = VirtualNumber.objects.get(tenant=stranger, number=NUMBER)
    stranger.crm.stores = ["a", "b"]
    stranger.crm.save()
    for form in (
        {"act": "link", "employee": theirs.pk, "user": crm_user(27).pk},
        {"act": "link", "employee": anna().pk, "user": crm_user(51, "stranger").pk},
        {"act": "link", "employee": theirs.pk, "user": crm_user(51, "stranger").pk},
        {"act": "not_needed", "employee": theirs.pk},
        {"act": "resend_calls", "employee": theirs.pk},
        {"act": "set_store", "number": number.pk, "store": "a"},
    ):
        assert [level for level, _text in act(**form)] == ["error"]
    theirs.refresh_from_db()
    number.refresh_from_db()
    assert (theirs.crm_user_id, theirs.linked_by, number.site, links()[ANNA]) == (None, "", "", None)


def test_link_to_another_tenants_user_is_rejected(crm_world, hourly, tenant, stranger):
    from django.core.exceptions import ValidationError

    crm_world.accounts["other.retailcrm.ru"].add_user(51)
    hourly()
    with pytest.raises(ValidationError):
        actions.link(anna(), crm_user(51, "stranger"))


def test_numbers_without_a_store_can_be_assigned_one(act, run_queue, crm, tenant):
    assert overview(tenant).numbers == []
    crm.sites.append("shop-two")
    tenant.crm.stores = list(crm.sites)
    tenant.crm.save()
    assert [number.number for number in overview(tenant).numbers] == [NUMBER, "74950000002"]
    act("set_store", number=VirtualNumber.objects.get(number=NUMBER).pk, store="shop-two")
    run_queue()
    assert [number.number for number in overview(tenant).numbers] == ["74950000002"]
    phones = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["externalPhones"]
    assert phones == [{"siteCode": "shop-two", "externalPhone": f"+{NUMBER}"}]


def failed_call(uis_id, *, pbx, notify, **more):
    """Create a missed call of this employee that failed before its upload."""
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[uis_id])
    notify(call.notification("lost_call"), works=False)
    task_queue.process_notifications()
    task_queue.drain(pick=lambda task: task == task_names.EVALUATE)
    row = Call.objects.get(session_id=call.session_id)
    row.fail("CRM_REFUSED", "bad", now=timezone.now())
    row.save()
    Call.objects.filter(pk=row.pk).update(**more)
    return row


@pytest.mark.slow
def test_waiting_calls_are_uploaded_once_after_linking(act, pbx, notify, run_queue, crm, hourly, tenant, stranger):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    row = failed_call(ANNA, pbx=pbx, notify=notify)
    run_queue()
    hourly()
    assert (row.employee.uis_id, [row.pending for row in overview(tenant).unlinked]) == (ANNA, [1])
    ((level, _text),) = act("resend_calls", employee=anna().pk)  # not linked yet
    assert (level, crm.calls) == ("error", [])
    act("link", employee=anna().pk, user=crm_user(31).pk)
    assert overview(tenant).linked[0].employee.uis_id == ANNA
    act("resend_calls", employee=anna().pk)
    act("resend_calls", employee=anna().pk)
    run_queue()
    assert [(call["externalId"], call["_manager"]) for call in crm.calls] == [(f"uis-{row.session_id}", 31)]
    assert len(crm.uploads) == 1
    act("resend_calls", employee=anna().pk)
    run_queue()
    assert len(crm.uploads) == 1
    assert list(AuditLogEntry.objects.filter(action="CALLS_RESENT").order_by("pk").values_list("new", flat=True)) == [
        "1",
        "1",
        "0",
    ]


def test_missed_call_that_rang_an_unknown_employee_gets_its_owner(act, pbx, notify, run_queue, crm, hourly, tenant):
    crm.add_user(31, email="anna@example.com")
    hourly()
    row = failed_call(ANNA, pbx=pbx, notify=notify, employee=None)
    other = failed_call(PETR, pbx=pbx, notify=notify, employee=None)
    assert {row.employee.uis_id: row.pending for row in overview(tenant).linked} == {ANNA: 1, PETR: 1, IVAN: 0}
    act("resend_calls", employee=anna().pk)
    run_queue()
    assert [(call["externalId"], call["_manager"]) for call in crm.calls] == [(f"uis-{row.session_id}", 31)]
    other.refresh_from_db()
    assert other.failed_at is not None


def test_claimed_and_expired_calls_are_not_resent(pbx, notify, tenant):
    import uuid

    late = timezone.now() - timedelta(days=tenant.upload_window_days, hours=1)
    failed_call(IVAN, pbx=pbx, notify=notify, started_at=late)
    failed_call(IVAN, pbx=pbx, notify=notify, failed_at=None, claim_token=uuid.uuid4())
    assert actions.resend_calls(Employee.objects.get(uis_id=IVAN), now=timezone.now()) == 0
    assert {row.pending for row in overview(tenant).linked} == {0}


def test_uploaded_calls_of_the_week_are_counted(pbx, notify, crm, tenant):
    for _number in range(2):
        notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[ANNA]).notification("lost_call"))
    first = Call.objects.earliest("pk")
    assert [(row.pending, row.uploaded) for row in overview(tenant).unlinked] == [(0, 2)]
    Call.objects.filter(pk=first.pk).update(started_at=timezone.now() - timedelta(days=8))
    assert [row.uploaded for row in overview(tenant).unlinked] == [1]


@pytest.fixture
def many(tenant):
    def add(count):
        start = 400000
        Employee.objects.bulk_create(
            Employee(tenant=tenant, uis_id=start + n, full_name=f"Имя{n} Фамилия", extension=str(1000 + n))
            for n in range(count)
        )
        CrmUser.objects.bulk_create(
            CrmUser(tenant=tenant, crm_id=start + n, name=f"Фамилия Имя{n}") for n in range(count)
        )
        UnknownId.objects.bulk_create(
            UnknownId(tenant=tenant, kind="CODE", value=str(1000 + n), last_seen_on=timezone.now().date(), count=1)
            for n in range(count)
        )
        Call.objects.bulk_create(
            Call(
                tenant=tenant,
                session_id=n,
                state="READY",
                direction="in",
                is_lost=True,
                rung_employee_ids=[start + n],
                started_at=timezone.now(),
                ended_at=timezone.now(),
                retry_window_started_at=timezone.now(),
            )
            for n in range(count)
        )

    return add


@pytest.mark.parametrize("count", [4, 300])
def test_mapping_has_a_fixed_query_count(tenant, many, django_assert_num_queries, count):
    many(count)
    known = Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)
    known.crm.stores = ["a", "b"]
    with django_assert_num_queries(7):
        found = load_overview(known, timezone.now())
    assert len(found.unlinked) == count + 1
    assert [row.suggestions.clear is not None for row in found.unlinked].count(True) == count
    assert sum(row.pending for row in found.unlinked) == count


@pytest.mark.slow
def test_page_has_a_fixed_query_count(admin_client, page, many):
    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get(page).status_code == 200
        return len(queries)

    cost()
    few = cost()
    many(300)
    assert cost() == few


def test_long_list_is_paginated(admin_client, page, many):
    many(60)
    html = admin_client.get(page, {"page": 2}).content.decode()
    assert html.count('name="act" value="not_needed"') == 11
    assert "?page=1" in html


@pytest.mark.parametrize("language", ["ru", "en"])
def test_page_renders_in_both_languages(admin_client, page, ring, crm, tenant, language):
    ring(ANNA)
    Employee.objects.filter(uis_id=PETR).update(is_dismissed=True)
    tenant.crm.stores = ["a", "b"]
    tenant.crm.save()
    answer = admin_client.get(page, headers={"accept-language": language})
    html = answer.content.decode()
    assert answer.status_code == 200
    assert f'lang="{language}"' in html
    assert re.search(r'id="mapping-unlinked">[^<]* \(1\)</h2>', html)
    assert "Сидорова Анна (103)" in html
    assert CONTACT not in html
    assert "<script>" not in html.split('id="content-main"')[1]


def test_empty_groups_show_a_text_and_no_table(admin_client, page, crm, tenant):
    Employee.objects.filter(tenant=tenant).delete()
    CrmUser.objects.filter(tenant=tenant).delete()
    html = admin_client.get(page).content.decode()
    ours = html.split('id="content-main"')[1]
    assert (ours.count("<table>"), ours.count("(0)</h2>"), ours.count("<p>")) == (0, 7, 7)


def test_support_can_view_but_not_act(client, page, tenant, hourly, crm):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    user = create_user("support", "Support")
    client.force_login(user)
    html = client.get(page, headers={"accept-language": "en"}).content.decode()
    with translation.override("en"):
        assert f"Анна Сидорова · {MatchReason.NAME.label}" in html
    assert "<button" not in html.split('id="content-main"')[1].split("</section>")[0]
    answer = client.post(page, {"act": "link", "employee": anna().pk, "user": crm_user(31).pk})
    assert (answer.status_code, anna().crm_user_id) == (403, None)


def test_page_needs_permission_for_tenants(client, page, tenant):
    assert client.get(page).status_code == 302
    client.force_login(User.objects.create_user("visitor", password="x", is_staff=True))
    assert client.get(page).status_code == 403
    assert client.post(page, {"act": "unlink"}).status_code == 403


def test_post_without_the_csrf_token_is_rejected(page, admin_user, tenant):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    answer = strict.post(page, {"act": "unlink", "employee": Employee.objects.get(uis_id=IVAN).pk})
    assert (answer.status_code, links()[IVAN]) == (403, 27)


def test_page_of_an_unknown_tenant_is_not_found(admin_client, db):
    assert admin_client.get(reverse("admin:tenants_tenant_employee_mapping", args=[999])).status_code == 404


def test_link_of_a_paused_tenant_updates_the_module_with_the_sync(act, run_queue, crm, hourly, tenant):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    Tenant.objects.filter(pk=tenant.pk).update(is_paused=True)
    act("link", employee=anna().pk, user=crm_user(31).pk)
    assert run_queue() == 0
    crm_tasks.link_users(tenant.pk)
    assert (31, "103") in codes(crm)
