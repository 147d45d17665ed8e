"""What no webhook reports: staff, numbers, employee mapping, and missing calls."""

from datetime import timedelta

import pytest
from django.utils import timezone

from connector_project.operations import schedules
from crm import integration_module, uploads
from crm import tasks as crm_tasks
from telephony import tasks
from telephony.calls import apply_event
from telephony.models import Call
from tenants.models import CrmConnection, CrmUser, Employee, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, CONTACT, IVAN, NUMBER, PETR
from tests.fakes import retailcrm_methods
from tests.fakes.retailcrm_http import ApiError, as_json


@pytest.fixture
def hourly(run_queue):
    def run():
        tasks.sync_all()
        run_queue()

    return run


@pytest.fixture
def reconcile(run_queue):
    def run():
        tasks.reconcile_all()
        run_queue()

    return run


def codes(crm):
    return {
        (item["userId"], item["code"])
        for stored in crm.modules.values()
        for item in stored["integrations"]["telephony"]["additionalCodes"]
    }


def links():
    employees = Employee.objects.filter(tenant__slug="romashka", is_dismissed=False)
    return dict(employees.values_list("uis_id", "crm_user_id"))


def test_employees_are_linked_by_email_and_sent_with_the_module(crm, tenant, stranger):
    assert links() == {IVAN: 27, PETR: 28, ANNA: None}
    assert codes(crm) == {(27, "101"), (28, "102")}


def test_new_employee_and_new_user_are_synced(pbx, crm, hourly, tenant, stranger):
    pbx.add_employee(300004, "Новая", extension="104", email="new@example.com")
    crm.add_user(29, email="NEW@example.com ")
    hourly()
    assert links()[300004] == 29
    assert (29, "104") in codes(crm)


def test_changed_extension_sends_the_whole_list(pbx, crm, hourly, tenant):
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "201"
    hourly()
    assert codes(crm) == {(27, "201"), (28, "102")}


def test_unchanged_module_is_not_sent(crm_world, hourly, tenant):
    crm_world.requests.clear()
    hourly()
    assert [request for request in crm_world.requests if request.method == "POST"] == []


def test_dismissed_employee_is_removed_from_the_module(pbx, crm, hourly, tenant, later):
    del pbx.employees[PETR]
    hourly()
    assert codes(crm) == {(27, "101"), (28, "102")}
    later(timedelta(minutes=6))
    assert codes(crm) == {(27, "101")}
    assert Employee.objects.get(uis_id=PETR).is_dismissed is True


def test_departed_crm_user_is_unlinked(crm, hourly, tenant):
    crm.users[28]["active"] = False
    hourly()
    assert links()[PETR] is None
    assert codes(crm) == {(27, "101")}


def test_two_candidates_are_not_linked(pbx, crm, hourly, tenant):
    crm.add_user(31, email="anna@example.com")
    crm.add_user(32, email="anna@example.com")
    hourly()
    assert links()[ANNA] is None


def test_two_employees_with_one_email_are_not_linked(pbx, crm, hourly, tenant):
    pbx.add_employee(300005, "Двойник", extension="105", email="anna@example.com")
    crm.add_user(31, email="anna@example.com")
    hourly()
    assert (links()[ANNA], links()[300005]) == (None, None)


def test_shared_extension_is_not_sent(pbx, crm, hourly, tenant):
    pbx.employees[PETR]["extension"]["extension_phone_number"] = "101"
    hourly()
    assert codes(crm) == set()


def test_manual_extension_links_before_email(pbx, crm, hourly, tenant):
    crm.add_user(33, first_name="Анна", email="other@example.com")
    crm.add_user(34, email="anna@example.com")
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 33, "code": "103"})
    hourly()
    assert Employee.objects.get(uis_id=ANNA).linked_by == "EXTENSION"
    assert links()[ANNA] == 33


def test_manual_extension_of_an_unknown_user_is_kept(crm, hourly, tenant, pbx):
    crm.add_user(35)
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 35, "code": "777"})
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "201"
    hourly()
    assert codes(crm) == {(27, "201"), (28, "102"), (35, "777")}
    hourly()
    assert (35, "777") in codes(crm)


def test_our_own_codes_are_not_manual(pbx, crm, hourly, tenant, later):
    """Petr is dismissed; a new employee gets the extension, but not the CRM user."""
    del pbx.employees[PETR]
    pbx.add_employee(300006, "Новый", extension="102", email="fresh@example.com")
    hourly()
    later(timedelta(minutes=6))
    assert Employee.objects.get(uis_id=PETR).is_dismissed is True
    assert links()[300006] is None


def test_manual_link_is_kept(crm, hourly, tenant):
    Employee.objects.filter(uis_id=PETR).update(crm_user_id=None, linked_by="")
    Employee.objects.filter(uis_id=IVAN).update(crm_user_id=28, linked_by="HAND")
    hourly()
    assert links()[IVAN] == 28


def test_numbers_and_stores_reach_the_module(pbx, crm, hourly, tenant):
    VirtualNumber.objects.filter(number=NUMBER).update(site="shop-one")
    pbx.add_number("74950000003", name="Третий", status="manual_lock")
    hourly()
    stored = crm.modules[integration_module.code(tenant)]["integrations"]["telephony"]
    assert stored["externalPhones"] == [{"siteCode": "shop-one", "externalPhone": f"+{NUMBER}"}]
    assert VirtualNumber.objects.get(number="74950000003").is_active is False
    assert VirtualNumber.objects.get(number=NUMBER).name == "Основной"


def test_outage_during_a_sync_changes_nothing(uis_world, crm, hourly, tenant):
    uis_world.break_down("503")
    hourly()
    assert codes(crm) == {(27, "101"), (28, "102")}
    assert links() == {IVAN: 27, PETR: 28, ANNA: None}


def test_call_without_webhooks_is_found_and_uploaded(pbx, crm, reconcile, tenant, stranger):
    at = timezone.now() - timedelta(minutes=20)
    answered = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(IVAN, 30)])
    missed = pbx.call(contact="79990000002", number=NUMBER, started_at=at, rings=[IVAN, PETR])
    reconcile()
    sent = {call["externalId"]: call for call in crm.calls}
    assert sorted(sent) == sorted([f"uis-{answered.session_id}", f"uis-{missed.session_id}"])
    assert (sent[f"uis-{answered.session_id}"]["result"], sent[f"uis-{answered.session_id}"]["_manager"]) == (
        "answered",
        27,
    )
    assert (sent[f"uis-{missed.session_id}"]["result"], sent[f"uis-{missed.session_id}"]["_manager"]) == (
        "no answer",
        28,
    )
    assert set(Call.objects.values_list("origin", flat=True)) == {"REPORT"}
    assert crm.events == []
    reconcile()
    assert len(crm.calls) == 2


def test_recent_calls_are_left_to_their_webhooks(pbx, crm, reconcile, tenant):
    pbx.call(contact=CONTACT, number=NUMBER, started_at=timezone.now() - timedelta(minutes=4), rings=[IVAN])
    reconcile()
    assert (crm.calls, Call.objects.count()) == ([], 0)


def test_webhook_after_reconciliation_creates_no_second_call(pbx, crm, notify, reconcile, tenant):
    at = timezone.now() - timedelta(minutes=20)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, rings=[IVAN])
    reconcile()
    notify(call.notification("call_end"), call.notification("lost_call"))
    assert (len(crm.calls), Call.objects.count()) == (1, 1)


def test_reconciliation_reads_every_page(pbx, crm, reconcile, tenant, monkeypatch):
    from telephony.uis import data_api

    monkeypatch.setattr(data_api, "PAGE", 2)
    at = timezone.now() - timedelta(minutes=30)
    for last in range(5):
        pbx.call(contact=f"7999000010{last}", number=NUMBER, started_at=at, rings=[IVAN])
    reconcile()
    assert len(crm.calls) == 5


def test_reported_outgoing_call_without_talk_is_resolved_by_its_legs(pbx, crm, reconcile, tenant):
    at = timezone.now() - timedelta(minutes=20)
    pbx.call(
        contact=CONTACT, number=NUMBER, direction="out", started_at=at, rings=[IVAN], finish_reason="subscriber_busy"
    )
    reconcile()
    assert [(call["type"], call["result"]) for call in crm.calls] == [("out", "busy")]


def test_reserve_of_points_is_kept_for_live_calls(pbx, uis_world, hourly, notify, crm, tenant):
    pbx.minute_limit = 8
    hourly()
    uis_world.requests.clear()
    hourly()
    assert uis_world.requests == []
    at = timezone.now() - timedelta(seconds=40)
    call = pbx.call(contact=CONTACT, number=NUMBER, started_at=at, talks=[(IVAN, 30)])
    notify(call.notification("call_end"))
    assert len(crm.calls) == 1


def test_pending_notification_is_processed_by_the_sweep(client, hook, pbx, crm, later, tenant, monkeypatch):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    answer = client.post(hook, call.notification("call_end"), content_type="application/json")
    assert answer.status_code == 200
    task_queue.lose()
    later(timedelta(minutes=2))
    assert len(crm.calls) == 1


def test_row_that_crashes_does_not_stop_the_sweep(client, hook, pbx, crm, later, tenant, monkeypatch):
    bad = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    good = pbx.call(contact="79990000002", number=NUMBER, rings=[IVAN])
    real = apply_event.apply_event
    for call in (bad, good):
        client.post(hook, call.notification("call_end"), content_type="application/json")
    task_queue.lose()

    def apply(tenant, event, *, now):
        return 1 / 0 if event.session_id == bad.session_id else real(tenant, event, now=now)

    monkeypatch.setattr(apply_event, "apply_event", apply)
    later(timedelta(minutes=2))
    assert [call["phone"] for call in crm.calls] == ["+79990000002"]


def test_restored_crm_access_is_noticed(crm, notify, pbx, run_queue, later, tenant):
    module = crm.modules[integration_module.code(tenant)]
    module["active"] = False
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("call_end"))
    tenant.crm.refresh_from_db()
    assert tenant.crm.denied_code == "telephony_off"
    module["active"] = True
    crm_tasks.probe_all()
    run_queue()
    later(timedelta(minutes=1))
    assert len(crm.calls) == 1


def test_schedules_are_created_by_migrate_and_name_real_tasks(db):
    import pydoc

    from django_q.models import Schedule

    assert set(Schedule.objects.values_list("func", flat=True)) == set(schedules.SCHEDULES)
    assert all(callable(pydoc.locate(task)) for task in schedules.SCHEDULES)
    # The fallback check of the default cluster runs on the other cluster, which must run nothing else.
    given = Schedule.objects.exclude(cluster=None).values_list("func", "cluster")
    assert list(given) == [("connector_project.operations.tasks.evaluate_alerts_fallback", "fast")]


def test_schedule_that_changes_its_cluster_is_moved(db):
    from django_q.models import Schedule

    Schedule.objects.update(cluster=None)
    schedules.apply()
    assert Schedule.objects.get(cluster="fast").func == "connector_project.operations.tasks.evaluate_alerts_fallback"


def test_key_without_the_numbers_right_still_syncs_employees(pbx, crm, hourly, tenant):
    pbx.permissions.discard("number_management: select")
    pbx.add_employee(300004, "Новая", extension="104")
    hourly()
    assert Employee.objects.filter(uis_id=300004).exists()
    assert VirtualNumber.objects.count() == 2


def test_expired_key_is_noticed_by_the_sync(pbx, hourly, tenant):
    pbx.token_state = "expired"
    hourly()
    tenant.uis.refresh_from_db()
    assert tenant.uis.denied_code == "access_token_expired"


def test_missing_employee_right_does_not_stop_calls(pbx, hourly, tenant):
    pbx.permissions.discard("employees: select")
    hourly()
    tenant.uis.refresh_from_db()
    assert tenant.uis.denied_at is None


@pytest.mark.parametrize(("scope", "denied"), [("user_read", ""), (None, "key")])
def test_rejected_user_list_suspends_only_for_a_bad_key(crm, hourly, tenant, scope, denied):
    if scope:
        crm.scopes.discard(scope)
    else:
        crm.key = "another"
    hourly()
    tenant.crm.refresh_from_db()
    assert tenant.crm.denied_code == denied


@pytest.mark.slow
@pytest.mark.parametrize("batches", [[5, 5, 2], pytest.param([50, 50, 20], marks=pytest.mark.exhaustive)], ids=sum)
def test_full_batches_are_uploaded_one_after_another(notify, pbx, crm, crm_world, later, tenant, batches, monkeypatch):
    monkeypatch.setattr(uploads, "BATCH", batches[0])
    crm_world.break_down("503")
    for number in range(sum(batches)):
        notify(pbx.call(contact=f"79995{number:06d}", number=NUMBER).notification("lost_call"), works=False)
    crm_world.repair()
    later(timedelta(minutes=1))
    assert (len(crm.calls), [len(batch) for batch in crm.uploads]) == (sum(batches), batches)


def test_schedules_that_two_machines_added_at_once_are_there_once(db):
    """Both migrate: neither sees what the other one adds."""
    from django_q.models import Schedule

    schedules.apply()
    task = "crm.tasks.probe_all"
    for _machine in range(2):
        Schedule.objects.create(name=task, func=task, schedule_type=Schedule.MINUTES, minutes=5)
    schedules.apply()
    assert sorted(Schedule.objects.values_list("func", flat=True)) == sorted(schedules.SCHEDULES)


# --- one missing right, one answer without our module, one person who comes back


def rights(connection):
    connection.refresh_from_db()
    return sorted(connection.denied)


@pytest.mark.parametrize("cause", ["right", "component"])
def test_missing_list_of_numbers_stops_only_itself(pbx, hourly, tenant, stranger, cause):
    if cause == "right":
        pbx.permissions.discard("number_management: select")
    else:
        pbx.unavailable_methods.add("get.virtual_numbers")
    pbx.add_employee(300004, "Новая", extension="104")
    hourly()
    assert Employee.objects.filter(tenant=tenant, uis_id=300004).exists()
    assert (rights(tenant.uis), tenant.uis.denied_at) == (["get.virtual_numbers"], None)
    pbx.permissions.add("number_management: select")
    pbx.unavailable_methods.clear()
    hourly()
    assert rights(tenant.uis) == []


def test_missing_list_of_employees_stops_only_itself(pbx, hourly, tenant, stranger):
    pbx.permissions.discard("employees: select")
    pbx.add_number("74950000003", name="Третий")
    hourly()
    assert VirtualNumber.objects.filter(tenant=tenant, number="74950000003").exists()
    assert rights(tenant.uis) == ["get.employees"]
    assert len([uis_id for uis_id, user in links().items() if user]) == 2


def test_missing_user_list_does_not_keep_a_new_extension_from_the_module(pbx, crm, hourly, tenant, stranger):
    crm.scopes.discard("user_read")
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "201"
    hourly()
    assert codes(crm) == {(27, "201"), (28, "102")}
    assert rights(tenant.crm) == ["user_read"]


def test_unreadable_module_does_not_keep_the_users_from_being_stored(pbx, crm, hourly, tenant, stranger):
    """Nobody is linked meanwhile: an extension that people entered goes before an e-mail."""
    crm.scopes.discard("integration_read")
    crm.add_user(29, email="anna@example.com")
    hourly()
    assert CrmUser.objects.filter(tenant=tenant, crm_id=29).exists()
    assert (links()[ANNA], rights(tenant.crm)) == (None, ["integration_read"])
    crm.scopes.add("integration_read")
    hourly()
    assert (links()[ANNA], rights(tenant.crm)) == (29, [])


@pytest.fixture
def answer_once(monkeypatch):
    """Let the CRM answer one request for our module otherwise than it is."""

    def arrange(reply):
        real, replies = retailcrm_methods.answer, iter([reply])

        def answer(account, request):
            is_module = request.method == "GET" and "/integration-modules/" in request.path
            return (is_module and next(replies, None)) or real(account, request)

        monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)

    return arrange


NO_MODULE = ApiError(404, "Not found").answer(errors_as_list=False)
NO_CODES = as_json(200, {"success": True, "integrationModule": {"active": True, "integrations": {"telephony": {}}}})


@pytest.mark.parametrize("reply", [NO_MODULE, NO_CODES])
def test_one_answer_without_extensions_deletes_none_that_people_entered(pbx, crm, hourly, tenant, answer_once, reply):
    crm.add_user(35)
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 35, "code": "777"})
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "201"
    hourly()
    answer_once(reply)
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "202"
    hourly()
    assert codes(crm) == {(27, "202"), (28, "102"), (35, "777")}


def test_one_answer_without_our_module_does_not_make_a_renamed_account_another_one(
    crm, crm_world, hourly, tenant, answer_once, run_queue, stranger
):
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(linked_by="MANUAL")
    crm_world.accounts["renamed.retailcrm.ru"] = crm
    CrmConnection.objects.filter(tenant=tenant).update(address="https://renamed.retailcrm.ru")
    client_id = tenant.crm.client_id
    answer_once(NO_MODULE)
    crm_tasks.link_users(tenant.pk)
    run_queue()
    tenant.crm.refresh_from_db()
    assert (links(), tenant.crm.client_id) == ({IVAN: 27, PETR: 28, ANNA: None}, client_id)
    assert Employee.objects.get(tenant=tenant, uis_id=IVAN).linked_by == "MANUAL"


def leave_and_come_back(people, key, hourly, later):
    gone = people.pop(key)
    hourly()
    later(timedelta(minutes=6))
    assert links().get(ANNA) != 33
    people[key] = gone
    hourly()


@pytest.mark.parametrize("place", ["uis", "crm"])
def test_link_by_an_extension_that_people_entered_comes_back(pbx, crm, hourly, tenant, later, place):
    """Our list in the CRM lacks the extension since then."""
    crm.add_user(33, first_name="Анна", email="other@example.com")
    stored = crm.modules[integration_module.code(tenant)]
    stored["integrations"]["telephony"]["additionalCodes"].append({"userId": 33, "code": "103"})
    hourly()
    leave_and_come_back(*((pbx.employees, ANNA) if place == "uis" else (crm.users, 33)), hourly, later)
    assert (links()[ANNA], Employee.objects.get(uis_id=ANNA).linked_by) == (33, "EXTENSION")
    assert (33, "103") in codes(crm)


def test_link_made_by_hand_comes_back_before_one_by_email(crm, hourly, tenant, later):
    crm.add_user(33, first_name="Анна", email="other@example.com")
    hourly()
    Employee.objects.filter(uis_id=ANNA).update(crm_user_id=33, linked_by="MANUAL")
    crm.add_user(34, email="anna@example.com")
    leave_and_come_back(crm.users, 33, hourly, later)
    assert (links()[ANNA], Employee.objects.get(uis_id=ANNA).linked_by) == (33, "MANUAL")
