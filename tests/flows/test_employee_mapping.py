"""Employee mapping: ids unknown to the CRM are counted, a click links, and waiting calls are uploaded."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from crm import employee_mapping, integration_module, user_linking
from crm import tasks as crm_tasks
from crm.models import Popup, UnknownId
from telephony import task_names, tasks
from telephony.models import Call
from tenants.models import AuditLogEntry, CrmUser, Employee, Tenant, User, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.flows.test_schedules import codes, links
from tests.users import enlist


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
def press(admin_client, page):
    """Press a button of the page; return the messages shown then, with their levels."""

    def send(act, *, where=page, client=admin_client, **said):
        answer = client.post(where, {"act": act, **said}, follow=True)
        assert answer.redirect_chain == [(where, 302)]
        return [(message.level_tag, str(message)) for message in answer.context["messages"]]

    return send


@pytest.fixture
def ring(pbx, notify):
    def call(employee_id):
        ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[employee_id])
        notify(ringing.notification("waiting", employee_id=employee_id, at=timezone.now()))
        return ringing

    return call


def look(tenant):
    return employee_mapping.load_overview(
        Tenant.objects.select_related("uis", "crm", "rules").get(pk=tenant.pk), timezone.now()
    )


def anna():
    return Employee.objects.get(tenant__slug="romashka", uis_id=ANNA)


def crm_user(crm_id, slug="romashka"):
    return CrmUser.objects.get(tenant__slug=slug, crm_id=crm_id)


def unknown(tenant):
    return [(one.kind, one.value, one.times, [str(who) for who in one.whose]) for one in look(tenant).unknown]


def offers(tenant):
    return {row.employee.uis_id: row.offer for row in look(tenant).unlinked}


def test_unknown_extension_is_listed_with_its_count_and_owner(ring, notify, crm, tenant, stranger):
    ringing = ring(ANNA)
    assert unknown(tenant) == [("CODE", "103", 1, ["Сидорова Анна (103)"])]
    notify(ringing.notification("lost_call", at=timezone.now()))
    assert unknown(tenant) == [("CODE", "103", 2, ["Сидорова Анна (103)"])]
    assert look(stranger).unknown == []


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


def test_only_the_last_seven_days_are_counted_in_the_clients_zone(tenant, time_machine):
    time_machine.move_to("2026-03-10T22:30:00+00:00")  # the 11th in Moscow
    for day, times in (("2026-03-11", 2), ("2026-03-05", 3), ("2026-03-04", 50)):
        UnknownId.objects.create(tenant=tenant, kind="CODE", value="555", last_seen_on=day, count=times)
    found = look(tenant).unknown
    assert [(one.value, one.times, one.last.isoformat()) for one in found] == [("555", 5, "2026-03-11")]


def test_count_is_of_the_clients_day(ring, crm, tenant, pbx, time_machine):
    time_machine.move_to("2026-03-10T22:30:00+00:00")
    ring(ANNA)
    assert [day.isoformat() for day in UnknownId.objects.values_list("last_seen_on", flat=True)] == ["2026-03-11"]


def test_popup_with_known_ids_counts_nothing(ring, crm, tenant):
    ring(IVAN)
    assert not UnknownId.objects.exists()


def test_count_that_fails_leaves_the_card_where_it_is(pbx, notify, crm, tenant, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(UnknownId, "record", fail)
    crm.add_user(31)
    Employee.objects.filter(uis_id=ANNA).update(crm_user_id=31)  # known by id, not yet by extension
    ringing = pbx.call(contact=CONTACT, number=NUMBER, rings=[ANNA])
    with pytest.raises(ZeroDivisionError):
        notify(ringing.notification("waiting", employee_id=ANNA, at=timezone.now()))
    assert list(crm.cards()) == [31]
    assert Popup.objects.get().state == "OPEN"
    assert tenant.notifications.get().outcome == "DONE"
    with pytest.raises(ZeroDivisionError):
        notify(ringing.notification("lost_call", at=timezone.now()))
    assert Popup.objects.get().state == "CLOSED"


def test_one_click_links_and_the_next_popup_reaches_the_user(press, ring, run_queue, crm, hourly, tenant, stranger):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    assert links()[ANNA] is None
    suggestion = offers(tenant)[ANNA].clear
    assert (suggestion.user.crm_id, suggestion.ground) == (31, "NAME")
    ring(ANNA)
    assert crm.cards() == {}
    says = press("bind", employee=anna().pk, user=suggestion.user.pk)
    assert [level for level, _text in says] == ["success"]
    run_queue()
    assert (31, "103") in codes(crm)
    ring(ANNA)
    assert list(crm.cards()) == [31]
    hourly()
    assert (links()[ANNA], anna().linked_by) == (31, "HAND")
    assert offers(tenant) == {}


def test_linking_is_in_the_audit_log(press, crm, hourly, tenant):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    press("bind", employee=anna().pk, user=crm_user(31).pk)
    press("unbind", employee=anna().pk)
    press("not_needed", employee=anna().pk)
    rows = AuditLogEntry.objects.order_by("pk").values_list(
        "action", "object_repr", "field", "old", "new", "user__username"
    )
    part = "employee Сидорова Анна (103)"  # the model's name, which the audit log translates
    assert list(rows) == [
        ("LINKED", part, "crm_user_id", "", "Анна Сидорова · 31", "admin"),
        ("CHANGED", part, "crm_user_id", "Анна Сидорова · 31", "", "admin"),
        ("CHANGED", part, "linked_by", "HAND", "NOT_NEEDED", "admin"),
    ]


def test_two_candidates_are_offered_and_not_bound(admin_client, page, crm, hourly, tenant):
    crm.add_user(31, first_name="Анна", last_name="Сидорова", email="a1@example.com")
    crm.add_user(32, first_name="Анна", last_name="Сидорова", email="a2@example.com")
    hourly()
    assert links()[ANNA] is None
    offer = offers(tenant)[ANNA]
    assert (offer.clear, [one.user.crm_id for one in offer.candidates]) == (None, [31, 32])
    html = admin_client.get(page).content.decode().split('id="mapping-unlinked"')[1].split('id="mapping-users"')[0]
    assert html.count("<li>") == 2
    assert 'name="user" value="' not in html  # no button that links to one of them
    assert "selected" not in html


def test_phone_typed_in_any_form_is_a_ground(crm, hourly, tenant):
    crm.add_user(31, first_name="Анечка", phone="8 (999) 000-00-13")
    hourly()
    assert (crm_user(31).phone, offers(tenant)[ANNA].clear.ground) == ("79990000013", "PHONE")


def test_extension_two_users_were_given_in_the_crm_makes_two_candidates(crm, hourly, tenant, pbx):
    rows = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["additionalCodes"]
    for crm_id in (31, 32):
        crm.add_user(crm_id)
        rows.append({"userId": crm_id, "code": "103"})
    hourly()
    assert [(one.user.crm_id, one.ground) for one in offers(tenant)[ANNA].candidates] == [
        (31, "EXTENSION"),
        (32, "EXTENSION"),
    ]


def test_users_are_kept_as_the_crm_names_them(crm, hourly, tenant, stranger):
    crm.add_user(31, first_name="Новый", email="New@example.com", active=False)["patronymic"] = "Ильич"
    hourly()
    known = CrmUser.objects.filter(tenant=tenant).values_list("crm_id", "name", "email", "is_active")
    assert sorted(known) == [
        (27, "Иван Иванов", "ivan@example.com", True),
        (28, "Пётр Петров", "petr@example.com", True),
        (31, "Новый Ильич", "new@example.com", False),
    ]
    assert [user.crm_id for user in look(tenant).free_users] == []
    kept = crm_user(28).pk
    del crm.users[27]
    crm.users[31]["active"] = True
    hourly()
    assert sorted(CrmUser.objects.filter(tenant=tenant).values_list("crm_id", "is_active")) == [(28, True), (31, True)]
    assert crm_user(28).pk == kept
    assert [user.crm_id for user in look(tenant).free_users] == [31]
    assert sorted(CrmUser.objects.filter(tenant=stranger).values_list("crm_id", flat=True)) == [27, 28]


@pytest.mark.parametrize("count", [3, 300])
def test_keeping_users_costs_few_queries(tenant, django_assert_num_queries, django_assert_max_num_queries, count):
    from crm.retailcrm.types import User as Said

    said = [Said(number, f"Имя {number}", "", is_active=True) for number in range(1000, 1000 + count)]
    said += said[:1]  # a page may repeat a user
    with django_assert_max_num_queries(4):  # the write comes in batches
        user_linking.sync_crm_users(tenant, said)
    with django_assert_num_queries(1):
        user_linking.sync_crm_users(tenant, said)
    assert tenant.crm_users.count() == count


def test_dismissed_employee_loses_the_user_and_gets_it_suggested_on_return(press, pbx, crm, hourly, tenant):
    crm.users[28]["email"] = "other@example.com"
    crm.users[28]["firstName"] = "Кто-то"
    hourly()
    kept = pbx.employees.pop(PETR)
    hourly()
    gone = Employee.objects.get(uis_id=PETR)
    assert (gone.is_dismissed, gone.crm_user_id, gone.previous_crm_user_id) == (True, None, 28)
    assert PETR not in offers(tenant)
    pbx.employees[PETR] = kept
    hourly()
    assert links()[PETR] is None
    suggestion = offers(tenant)[PETR].clear
    assert (suggestion.user.crm_id, suggestion.ground) == (28, "PREVIOUS")
    press("bind", employee=gone.pk, user=suggestion.user.pk)
    gone.refresh_from_db()
    assert (gone.crm_user_id, gone.linked_by, gone.previous_crm_user_id) == (28, "HAND", None)


def test_user_who_left_and_came_back_is_suggested(crm, hourly, tenant):
    crm.users[28]["active"] = False
    hourly()
    crm.users[28] |= {"active": True, "email": "", "firstName": "Кто-то"}
    hourly()
    assert (links()[PETR], offers(tenant)[PETR].clear.ground) == (None, "PREVIOUS")


def test_returned_employee_with_the_same_email_is_linked_by_itself(pbx, crm, hourly, tenant):
    kept = pbx.employees.pop(PETR)
    hourly()
    pbx.employees[PETR] = kept
    hourly()
    back = Employee.objects.get(uis_id=PETR)
    assert (back.crm_user_id, back.linked_by, back.previous_crm_user_id) == (28, "EMAIL", None)


def test_dismissed_who_still_holds_a_user_is_listed_and_freed(press, pbx, crm, crm_world, tenant):
    crm_world.break_down("503")
    del pbx.employees[PETR]
    tasks.sync_employees(tenant.pk)
    assert [(row.employee.uis_id, row.user.crm_id) for row in look(tenant).left] == [(PETR, 28)]
    crm_world.repair()
    press("unbind", employee=Employee.objects.get(uis_id=PETR).pk)
    gone = Employee.objects.get(uis_id=PETR)
    assert (gone.crm_user_id, gone.linked_by, gone.previous_crm_user_id) == (None, "", 28)
    assert look(tenant).left == []


def test_unbound_by_hand_stays_unbound_but_is_suggested(press, run_queue, crm, hourly, tenant):
    press("unbind", employee=Employee.objects.get(uis_id=PETR).pk)
    run_queue()
    hourly()
    assert links()[PETR] is None
    assert codes(crm) == {(27, "101")}
    assert offers(tenant)[PETR].clear.ground == "EMAIL"


def test_employee_without_crm_is_not_linked_until_undone(press, crm, hourly, tenant):
    press("not_needed", employee=anna().pk)
    crm.add_user(31, email="anna@example.com")
    hourly()
    assert (links()[ANNA], offers(tenant), [one.uis_id for one in look(tenant).not_needed]) == (None, {}, [ANNA])
    assert user_linking.save(tenant, [], []).unlinked == 2  # Ivan and Petr, whose users are gone
    press("bring_back", employee=anna().pk)
    hourly()
    assert (links()[ANNA], look(tenant).not_needed) == (31, [])


def test_database_refuses_a_user_for_whom_none_is_needed(tenant):
    with pytest.raises(IntegrityError), transaction.atomic():
        Employee.objects.filter(uis_id=IVAN).update(linked_by="NOT_NEEDED")


@pytest.mark.parametrize("why", ["taken", "inactive", "gone", "dismissed"])
def test_link_is_refused_with_the_reason(press, crm, hourly, tenant, why):
    crm.add_user(31)
    hourly()
    chosen = crm_user(28 if why == "taken" else 31)
    match why:
        case "inactive":
            CrmUser.objects.filter(pk=chosen.pk).update(is_active=False)
        case "gone":
            CrmUser.objects.filter(pk=chosen.pk).delete()
        case "dismissed":
            Employee.objects.filter(uis_id=ANNA).update(is_dismissed=True)
    ((level, text),) = press("bind", employee=anna().pk, user=chosen.pk)
    assert level == "error"
    assert ("Петров" in text) == (why == "taken")
    assert anna().crm_user_id is None
    assert not AuditLogEntry.objects.exists()


@pytest.mark.parametrize(
    "said",
    [
        {"act": "bind"},
        {"act": "bind", "employee": "x", "user": "1"},
        {"act": "bind", "employee": "999999999", "user": "1"},
        {"act": "unknown", "employee": "1"},
        {},
        {"act": "set_store", "number": "1"},
        {"act": "bring_back", "employee": "ivan"},
        {"act": "not_needed", "employee": "ivan"},
        {"act": "unbind", "employee": "anna"},
        {"act": "send_on", "employee": "anna"},
        {"act": "set_store", "number": "number", "store": "no-such-shop"},
    ],
)
def test_bad_input_is_answered_with_an_error(admin_client, page, tenant, said):
    rows = {
        "ivan": Employee.objects.get(uis_id=IVAN).pk,
        "anna": anna().pk,
        "number": VirtualNumber.objects.get(number=NUMBER).pk,
    }
    before = links()
    answer = admin_client.post(page, {name: rows.get(value, value) for name, value in said.items()}, follow=True)
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert links() == before
    assert not AuditLogEntry.objects.exists()


def test_another_clients_people_cannot_be_reached_through_this_page(press, crm_world, page, hourly, tenant, stranger):
    crm_world.accounts["other.retailcrm.ru"].add_user(51, first_name="Чужая")
    hourly()
    theirs = Employee.objects.create(tenant=stranger, uis_id=9, full_name="Чужой")
    number = VirtualNumber.objects.get(tenant=stranger, number=NUMBER)
    stranger.crm.stores = ["a", "b"]
    stranger.crm.save()
    for said in (
        {"act": "bind", "employee": theirs.pk, "user": crm_user(27).pk},
        {"act": "bind", "employee": anna().pk, "user": crm_user(51, "stranger").pk},
        {"act": "bind", "employee": theirs.pk, "user": crm_user(51, "stranger").pk},
        {"act": "not_needed", "employee": theirs.pk},
        {"act": "send_on", "employee": theirs.pk},
        {"act": "set_store", "number": number.pk, "store": "a"},
    ):
        assert [level for level, _text in press(**said)] == ["error"]
    theirs.refresh_from_db()
    number.refresh_from_db()
    assert (theirs.crm_user_id, theirs.linked_by, number.site, links()[ANNA]) == (None, "", "", None)


def test_acts_refuse_another_clients_user(crm_world, hourly, tenant, stranger):
    from django.core.exceptions import ValidationError

    crm_world.accounts["other.retailcrm.ru"].add_user(51)
    hourly()
    with pytest.raises(ValidationError):
        employee_mapping.link(anna(), crm_user(51, "stranger"))


def test_numbers_without_a_store_are_given_one(press, run_queue, crm, tenant):
    assert look(tenant).numbers == []
    crm.sites.append("shop-two")
    tenant.crm.stores = list(crm.sites)
    tenant.crm.save()
    assert [number.number for number in look(tenant).numbers] == [NUMBER, "74950000002"]
    press("set_store", number=VirtualNumber.objects.get(number=NUMBER).pk, store="shop-two")
    run_queue()
    assert [number.number for number in look(tenant).numbers] == ["74950000002"]
    told = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]["externalPhones"]
    assert told == [{"siteCode": "shop-two", "externalPhone": f"+{NUMBER}"}]


def stopped(uis_id, *, pbx, notify, **more):
    """Create a missed call of this employee that failed before its upload."""
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[uis_id])
    notify(call.notification("lost_call"), works=False)
    task_queue.drain(pick=lambda task: task == task_names.EVALUATE)
    row = Call.objects.get(session_id=call.session_id)
    row.fail("CRM_REFUSED", "bad", now=timezone.now())
    row.save()
    Call.objects.filter(pk=row.pk).update(**more)
    return row


def test_waiting_calls_are_uploaded_once_after_linking(press, pbx, notify, run_queue, crm, hourly, tenant, stranger):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    row = stopped(ANNA, pbx=pbx, notify=notify)
    run_queue()
    hourly()
    assert (row.employee.uis_id, [one.waiting for one in look(tenant).unlinked]) == (ANNA, [1])
    ((level, _text),) = press("send_on", employee=anna().pk)  # bound to nobody yet
    assert (level, crm.calls) == ("error", [])
    press("bind", employee=anna().pk, user=crm_user(31).pk)
    assert look(tenant).linked[0].employee.uis_id == ANNA
    press("send_on", employee=anna().pk)
    press("send_on", employee=anna().pk)
    run_queue()
    assert [(call["externalId"], call["_manager"]) for call in crm.calls] == [(f"uis-{row.session_id}", 31)]
    assert len(crm.uploads) == 1
    press("send_on", employee=anna().pk)
    run_queue()
    assert len(crm.uploads) == 1
    assert list(AuditLogEntry.objects.filter(action="CALLS_RESENT").order_by("pk").values_list("new", flat=True)) == [
        "1",
        "1",
        "0",
    ]


def test_missed_call_that_rang_before_the_person_was_known_gets_its_owner(
    press, pbx, notify, run_queue, crm, hourly, tenant
):
    crm.add_user(31, email="anna@example.com")
    hourly()
    row = stopped(ANNA, pbx=pbx, notify=notify, employee=None)
    other = stopped(PETR, pbx=pbx, notify=notify, employee=None)
    assert {one.employee.uis_id: one.waiting for one in look(tenant).linked} == {ANNA: 1, PETR: 1, IVAN: 0}
    press("send_on", employee=anna().pk)
    run_queue()
    assert [(call["externalId"], call["_manager"]) for call in crm.calls] == [(f"uis-{row.session_id}", 31)]
    other.refresh_from_db()
    assert other.failed_at is not None


def test_call_a_worker_holds_and_one_past_the_term_are_left_alone(pbx, notify, tenant):
    import uuid

    late = timezone.now() - timedelta(days=tenant.upload_window_days, hours=1)
    stopped(IVAN, pbx=pbx, notify=notify, started_at=late)
    stopped(IVAN, pbx=pbx, notify=notify, failed_at=None, claim_token=uuid.uuid4())
    assert employee_mapping.resend_calls(Employee.objects.get(uis_id=IVAN), now=timezone.now()) == 0
    assert {one.waiting for one in look(tenant).linked} == {0}


def test_uploaded_calls_of_the_week_are_counted(pbx, notify, crm, tenant):
    for _number in range(2):
        notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[ANNA]).notification("lost_call"))
    first = Call.objects.earliest("pk")
    assert [(row.waiting, row.uploaded) for row in look(tenant).unlinked] == [(0, 2)]
    Call.objects.filter(pk=first.pk).update(started_at=timezone.now() - timedelta(days=8))
    assert [row.uploaded for row in look(tenant).unlinked] == [1]


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


@pytest.mark.parametrize("count", [3, 300])
def test_mapping_costs_a_fixed_number_of_queries(tenant, many, django_assert_num_queries, count):
    many(count)
    known = Tenant.objects.select_related("uis", "crm", "rules").get(pk=tenant.pk)
    known.crm.stores = ["a", "b"]
    with django_assert_num_queries(7):
        found = employee_mapping.load_overview(known, timezone.now())
    assert len(found.unlinked) == count + 1
    assert [row.suggestions.clear is not None for row in found.unlinked].count(True) == count
    assert sum(row.waiting for row in found.unlinked) == count


def test_page_costs_a_fixed_number_of_queries(admin_client, page, many):
    def cost():
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(page).status_code == 200
        return len(asked)

    cost()
    few = cost()
    many(300)
    assert cost() == few


def test_long_list_comes_page_by_page(admin_client, page, many):
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


def test_empty_groups_have_a_text_and_no_table(admin_client, page, crm, tenant):
    Employee.objects.filter(tenant=tenant).delete()
    CrmUser.objects.filter(tenant=tenant).delete()
    html = admin_client.get(page).content.decode()
    ours = html.split('id="content-main"')[1]
    assert (ours.count("<table>"), ours.count("(0)</h2>"), ours.count("<p>")) == (0, 7, 7)


def test_support_may_look_and_not_act(client, page, tenant, hourly, crm):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    user = enlist("support", "Support")
    client.force_login(user)
    html = client.get(page, headers={"accept-language": "en"}).content.decode()
    with translation.override("en"):
        assert f"Анна Сидорова · {employee_mapping.MatchReason.NAME.label}" in html
    assert "<button" not in html.split('id="content-main"')[1].split("</section>")[0]
    answer = client.post(page, {"act": "bind", "employee": anna().pk, "user": crm_user(31).pk})
    assert (answer.status_code, anna().crm_user_id) == (403, None)


def test_page_is_for_those_who_may_see_the_client(client, page, tenant):
    assert client.get(page).status_code == 302
    client.force_login(User.objects.create_user("nobody", password="x", is_staff=True))
    assert client.get(page).status_code == 403
    assert client.post(page, {"act": "unbind"}).status_code == 403


def test_page_wants_the_forgery_token(page, admin_user, tenant):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    answer = strict.post(page, {"act": "unbind", "employee": Employee.objects.get(uis_id=IVAN).pk})
    assert (answer.status_code, links()[IVAN]) == (403, 27)


def test_page_of_an_unknown_tenant_is_not_found(admin_client, db):
    assert admin_client.get(reverse("admin:tenants_tenant_employee_mapping", args=[999])).status_code == 404


def test_paused_clients_module_is_left_to_the_sync(press, run_queue, crm, hourly, tenant):
    crm.add_user(31, first_name="Анна", last_name="Сидорова")
    hourly()
    Tenant.objects.filter(pk=tenant.pk).update(is_paused=True)
    press("bind", employee=anna().pk, user=crm_user(31).pk)
    assert run_queue() == 0
    crm_tasks.link_users(tenant.pk)
    assert (31, "103") in codes(crm)
