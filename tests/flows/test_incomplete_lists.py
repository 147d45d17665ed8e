"""One answer with too few rows removes nobody: neither employees nor CRM users, numbers, statuses and extensions."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connector_project.operations import tasks as operations_tasks
from connector_project.operations.alerts import incident_texts
from connector_project.operations.models import Incident
from crm import key_verification
from crm import tasks as crm_tasks
from telephony import client_factory, tasks
from telephony.staff import sync
from tenants.models import AuditLogEntry, CrmUser, Employee, UisStatus, VirtualNumber
from tests import task_queue
from tests.conftest import ANNA, IVAN, NUMBER, PETR
from tests.flows.test_schedules import links
from tests.rules import publish_rules

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

SOON = timedelta(minutes=6)
STORE = [{"siteCode": "shop-one", "externalPhone": f"+{NUMBER}"}]


@pytest.fixture
def hourly(run_queue):
    def run():
        tasks.sync_all()
        run_queue()

    return run


@pytest.fixture
def known(tenant, pbx, crm, run_queue, stranger, twin_crm):
    """A client with 12 employees, linked by hand where no e-mail does it, numbers with stores, and users in the CRM."""
    crm.add_user(29, first_name="Анна", email="other@example.com")
    for number in range(9):
        pbx.add_employee(300100 + number, f"Сотрудник {number}", extension=f"2{number:02d}", email=f"{number}@x.ru")
        crm.add_user(100 + number, email=f"{number}@x.ru")
    tasks.sync_employees(tenant.pk)
    run_queue()
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=29, linked_by="MANUAL")
    VirtualNumber.objects.filter(tenant=tenant, number=NUMBER).update(site="shop-one")
    crm_tasks.link_users(tenant.pk)
    twin_before = codes_of(twin_crm)
    yield state(tenant, crm)
    assert codes_of(twin_crm) == twin_before
    assert Employee.objects.filter(tenant=stranger).linked().count() == 2


def codes_of(account):
    return {
        (row["userId"], row["code"])
        for stored in account.modules.values()
        for row in stored["integrations"]["telephony"]["additionalCodes"]
    }


def state(tenant, crm):
    stored = next(iter(crm.modules.values()))["integrations"]["telephony"]
    return {
        "links": dict(Employee.objects.filter(tenant=tenant, is_dismissed=False).values_list("uis_id", "crm_user_id")),
        "users": set(CrmUser.objects.filter(tenant=tenant).values_list("crm_id", flat=True)),
        "numbers": set(VirtualNumber.objects.filter(tenant=tenant, is_active=True).values_list("number", flat=True)),
        "statuses": set(UisStatus.objects.filter(tenant=tenant).values_list("uis_id", flat=True)),
        "codes": codes_of(crm),
        "phones": stored["externalPhones"],
    }


METHODS = ["get.employees", "get.virtual_numbers", "get.statuses"]


def shorten(pbx, crm, name, **how):
    crm.shorten_users(**how) if name == "users" else pbx.shorten(name, **how)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("name", [*METHODS, "users"])
def test_list_that_is_short_once_changes_nothing(known, pbx, crm, hourly, tenant, name, keep):
    shorten(pbx, crm, name, keep=keep)
    hourly()
    assert state(tenant, crm) == known
    hourly()
    assert state(tenant, crm) == known


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("name", [*METHODS, "users"])
def test_list_that_stays_short_for_days_changes_nothing(known, pbx, crm, hourly, tenant, later, name, keep):
    """A right may be missing for days, and a list without it is empty."""
    shorten(pbx, crm, name, keep=keep, times=None)
    for _ in range(4):
        hourly()
        later(timedelta(days=2))
    hourly()
    assert state(tenant, crm) == known


@pytest.mark.parametrize("name", METHODS)
def test_list_with_fewer_rows_than_stated_says_nothing_about_absence(known, pbx, crm, hourly, tenant, later, name):
    """Even if it goes on for days: what the vendor says it has, but does not send, is not gone."""
    keep = len(known["links" if name == "get.employees" else "numbers"]) - 1
    pbx.shorten(name, keep=keep if name != "get.statuses" else 5, times=None, states_all=True)
    for _ in range(3):
        hourly()
        later(timedelta(days=2))
    assert state(tenant, crm) == known


@pytest.mark.parametrize("is_returning", [False, True])
def test_absence_counts_when_it_was_seen_twice(known, pbx, crm, hourly, tenant, later, is_returning):
    gone = pbx.employees.pop(300103)
    hourly()
    assert state(tenant, crm) == known
    if is_returning:
        pbx.employees[300103] = gone
    later(SOON)
    expected = (
        known
        if is_returning
        else known
        | {
            "links": {key: value for key, value in known["links"].items() if key != 300103},
            "codes": known["codes"] - {(103, "203")},
        }
    )
    assert state(tenant, crm) == expected


def test_two_answers_at_once_are_one_sight(known, pbx, crm, hourly, tenant):
    del pbx.employees[300103]
    hourly()
    hourly()
    assert state(tenant, crm) == known


def test_user_deleted_while_paging_does_not_unlink_the_one_who_slides(known, crm, hourly, tenant, later):
    for number in range(200, 300):
        crm.add_user(number)
    crm.add_user(1000, email="last@example.com")
    hourly()
    Employee.objects.filter(tenant=tenant, uis_id=ANNA).update(crm_user_id=1000, linked_by="MANUAL")
    hourly()
    before = state(tenant, crm)
    crm.delete_user_while_paging(200)
    hourly()
    assert state(tenant, crm) == before
    later(SOON)
    later(SOON)
    later(SOON)
    assert state(tenant, crm) == before | {"users": before["users"] - {200}}
    assert Employee.objects.get(tenant=tenant, uis_id=ANNA).linked_by == "MANUAL"


@pytest.mark.parametrize("place", ["uis", "crm"])
@pytest.mark.parametrize("is_free", [True, False])
def test_link_made_by_hand_comes_back_with_the_person(known, pbx, crm, hourly, tenant, later, place, is_free):
    people, key = (pbx.employees, ANNA) if place == "uis" else (crm.users, 29)
    gone = people.pop(key)
    hourly()
    later(SOON)
    anna = Employee.objects.get(tenant=tenant, uis_id=ANNA)
    assert (anna.crm_user_id, anna.previous_crm_user_id) == (None, 29)
    assert (29, "103") not in codes_of(crm)
    if not is_free:
        Employee.objects.filter(tenant=tenant, uis_id=PETR).update(crm_user_id=29, linked_by="MANUAL")
    people[key] = gone
    hourly()
    anna.refresh_from_db()
    assert (anna.crm_user_id, anna.linked_by) == ((29, "MANUAL") if is_free else (None, ""))
    assert ((29, "103") in codes_of(crm)) == is_free


def test_user_who_is_inactive_and_comes_back_gets_the_link_made_by_hand(known, crm, hourly, tenant):
    """Being inactive is told, not an absence: it counts at once."""
    crm.users[29]["active"] = False
    hourly()
    assert links()[ANNA] is None
    crm.users[29]["active"] = True
    hourly()
    assert state(tenant, crm) == known


def test_person_unlinked_by_hand_while_away_stays_unlinked(known, pbx, crm, hourly, tenant, later):
    gone = pbx.employees.pop(ANNA)
    hourly()
    later(SOON)
    anna = Employee.objects.get(tenant=tenant, uis_id=ANNA)
    anna.set_link(None, Employee.LinkedBy.NOT_LINKED, former=29)
    pbx.employees[ANNA] = gone
    hourly()
    assert links()[ANNA] is None


def test_short_list_makes_no_ambiguous_match_unambiguous(known, crm, hourly, tenant, pbx):
    pbx.add_employee(300200, "Новая", extension="300", email="two@example.com")
    crm.add_user(500, email="two@example.com")
    crm.add_user(501, email="two@example.com")
    hourly()
    assert links()[300200] is None
    crm.shorten_users(keep=len(crm.users) - 1)
    hourly()
    assert links()[300200] is None


def test_fewer_stores_of_the_key_take_no_store_from_a_number(known, crm, tenant, run_queue):
    crm.sites = []
    key_verification.verify_crm_key(tenant.crm)
    tasks.sync_all()
    run_queue()
    assert VirtualNumber.objects.get(tenant=tenant, number=NUMBER).site == "shop-one"
    assert next(iter(crm.modules.values()))["integrations"]["telephony"]["externalPhones"] == STORE


def test_absence_is_looked_at_again_some_minutes_later(known, pbx, uis_world, hourly, tenant, later):
    del pbx.employees[300103]
    hourly()
    uis_world.requests.clear()
    later(timedelta(minutes=3))
    assert uis_world.requests == []
    later(timedelta(minutes=3))
    assert {request.method for request in uis_world.requests} == set(METHODS)
    uis_world.requests.clear()
    later(timedelta(minutes=6))
    assert uis_world.requests == []


def test_list_that_stays_short_is_not_read_every_minute(known, pbx, uis_world, hourly, tenant, later):
    pbx.shorten("get.employees", times=None)
    hourly()
    later(SOON)
    later(timedelta(hours=1))  # the last time
    uis_world.requests.clear()
    later(SOON)
    later(SOON)
    assert uis_world.requests == []


def test_paused_and_denied_clients_are_not_read_again(known, pbx, uis_world, hourly, tenant, later):
    pbx.shorten("get.employees", times=None)
    hourly()
    tenant.uis.suspend("access_token_expired", "", now=timezone.now())
    uis_world.requests.clear()
    later(SOON)
    assert uis_world.requests == []


def test_account_that_refuses_sorting_is_read_unsorted(known, pbx, hourly, tenant):
    pbx.sorts_by_id = False
    pbx.add_employee(300300, "Новый", extension="300")
    hourly()
    assert 300300 in links()


def test_older_answer_that_arrives_late_is_dropped(known, pbx, tenant):
    client, now = client_factory.uis_client(tenant.uis), timezone.now()
    older = sync.fetch(client)
    pbx.employees[IVAN]["extension"]["extension_phone_number"] = "999"
    sync.save(tenant, sync.fetch(client), now=now + timedelta(seconds=2))
    sync.save(tenant, older, now=now + timedelta(seconds=1))
    assert Employee.objects.get(tenant=tenant, uis_id=IVAN).extension == "999"


def test_rules_keep_their_statuses(known, pbx, hourly, tenant):
    publish_rules(tenant, status_dinner="9001")
    pbx.shorten("get.statuses", keep=1)
    hourly()
    assert UisStatus.objects.filter(tenant=tenant, uis_id=9001).exists()


def test_queue_lost_after_a_short_list_costs_nothing(known, pbx, crm, hourly, tenant, later):
    pbx.shorten("get.employees")
    tasks.sync_all()
    task_queue.drain(pick=lambda task: task == "telephony.tasks.sync_employees")
    task_queue.lose()
    later(SOON)
    hourly()
    assert state(tenant, crm) == known


# --- the finding, and what a person can do


@pytest.fixture
def incidents(tenant):
    def evaluate():
        operations_tasks.evaluate_alerts()
        open_ones = Incident.objects.exclude(state="RESOLVED").filter(kind="SHORT_LIST")
        return sorted(open_ones.values_list("tenant__slug", "reason"))

    return evaluate


@pytest.mark.parametrize("name", [*METHODS, "users"])
def test_short_list_is_an_incident_until_it_is_whole(known, pbx, crm, hourly, later, incidents, name):
    kinds = dict(zip(METHODS, ["EMPLOYEES", "NUMBERS", "STATUSES"], strict=True)) | {"users": "CRM_USERS"}
    assert incidents() == []
    shorten(pbx, crm, name, keep=1)
    hourly()
    assert incidents() == [("romashka", f"SHORT:{kinds[name]}")]
    incident = Incident.objects.get(kind="SHORT_LIST")
    assert (incident.context["received"], incident.context["known"] > 1) == (1, True)
    assert incident_texts.message(incident)
    assert incident_texts.responsible(incident) == "operator"
    later(SOON)  # read again
    later(SOON)
    assert incidents() == []


def test_list_with_fewer_rows_than_stated_is_an_incident_after_an_hour(known, pbx, hourly, later, incidents):
    pbx.shorten("get.employees", keep=11, times=None, states_all=True)
    hourly()
    assert incidents() == []
    later(timedelta(hours=1))
    hourly()
    assert incidents() == [("romashka", "INCOMPLETE:EMPLOYEES")]
    assert incident_texts.message(Incident.objects.get(kind="SHORT_LIST"))


@pytest.fixture
def accept(admin_client, tenant, run_queue):
    def press():
        answer = admin_client.post(reverse("admin:tenants_tenant_action", args=[tenant.pk, "accept_lists"]))
        assert answer.status_code == 302
        run_queue()

    return press


def test_short_list_is_accepted_by_a_person(known, pbx, crm, hourly, tenant, accept, incidents):
    crm.shorten_users(keep=3, times=None)
    hourly()
    pbx.shorten("get.employees", keep=2, times=None)
    hourly()
    assert state(tenant, crm) == known
    accept()
    left = state(tenant, crm)
    assert (left["links"], left["users"], left["codes"]) == (
        {IVAN: 27, PETR: 28},
        {27, 28, 29},
        {(27, "101"), (28, "102")},
    )
    assert (left["numbers"], left["statuses"], incidents()) == (known["numbers"], known["statuses"], [])
    assert AuditLogEntry.objects.filter(tenant=tenant, action="LISTS_ACCEPTED").count() == 1


def test_acceptance_is_of_what_was_missing_then(known, pbx, crm, hourly, tenant, accept):
    pbx.shorten("get.employees", keep=6, times=None)
    hourly()
    pbx.shorten("get.employees", keep=1, times=None)
    accept()
    assert set(state(tenant, crm)["links"]) == set(list(pbx.employees)[:6])


def test_acceptance_ends_when_the_list_is_whole(known, pbx, crm, hourly, tenant, accept, later):
    pbx.shorten("get.employees", keep=6)
    hourly()
    accept()
    assert state(tenant, crm) == known
    pbx.shorten("get.employees", keep=6)
    hourly()
    assert state(tenant, crm) == known


def test_nothing_to_accept_is_refused(known, tenant, accept, admin_client):
    accept()
    assert not AuditLogEntry.objects.filter(tenant=tenant, action="LISTS_ACCEPTED").exists()
    page = admin_client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert "accept_lists" not in page


def test_action_is_offered_where_a_list_is_short(known, pbx, hourly, tenant, admin_client):
    pbx.shorten("get.employees")
    hourly()
    page = admin_client.get(reverse("admin:tenants_tenant_change", args=[tenant.pk])).content.decode()
    assert "accept_lists" in page
