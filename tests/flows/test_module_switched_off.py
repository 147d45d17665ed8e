"""Our module is switched off, frozen or deleted in the CRM, and the callback about it is lost: it stays as it is."""

import itertools
import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from connector_project.operations.onboarding import steps
from crm import integration_module
from crm import tasks as crm_tasks
from telephony import tasks as uis_tasks
from tenants.access_errors import AccessError
from tenants.models import CrmConnection, Employee, Tenant
from tests import html_text
from tests.conftest import CONTACT, IVAN, NUMBER
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(2)]


@pytest.fixture
def ours(crm, tenant):
    """Return the code of our module."""
    return integration_module.code(tenant)


def switch_off(crm, code):
    crm.modules[code]["active"] = False


def freeze(crm, code):
    crm.modules[code]["freeze"] = True


def delete(crm, code):
    del crm.modules[code]


CHANGES = [switch_off, freeze, delete]


@pytest.fixture
def add_missed(pbx, notify):
    def add():
        notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))

    return add


def ring(pbx, notify):
    call = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN])
    notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()))


def upload(pbx, notify):
    notify(pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call"))


def change_a_list(_pbx, _notify):
    """An extension has changed, so that the sync has something to register."""
    Employee.objects.filter(tenant__slug="romashka", uis_id=IVAN).update(extension="177")
    crm_tasks.link_users(Tenant.objects.get(slug="romashka").pk)


def change_urls(_pbx, _notify):
    tenant = Tenant.objects.get(slug="romashka")
    CrmConnection.objects.filter(tenant=tenant).update(module_outdated_since=timezone.now())
    tenant.crm.rotate_hook()
    crm_tasks.register_module(tenant.pk)


def sync(_pbx, _notify):
    uis_tasks.sync_all()


def ask_after_a_wrong_key(_pbx, _notify):
    tenant = Tenant.objects.get(slug="romashka")
    tenant.crm.suspend("key", "no", now=timezone.now())
    crm_tasks.probe_all()


NEWS = [ring, upload, change_a_list, change_urls, sync, ask_after_a_wrong_key]


def denied():
    return list(CrmConnection.objects.get(tenant__slug="romashka").denied)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("news", NEWS)
def test_module_stays_as_people_left_it_whatever_asks_for_it(
    tenant, stranger, crm, ours, pbx, notify, run_queue, change, news
):
    change(crm, ours)
    before = json.dumps(crm.modules, sort_keys=True)
    news(pbx, notify)
    run_queue()
    assert "switched_off" in denied()
    for _round in range(2):
        crm_tasks.probe_all()
        uis_tasks.sync_all()
        run_queue()
    assert json.dumps(crm.modules, sort_keys=True) == before
    assert (CrmConnection.objects.get(tenant=tenant).denied_code, crm.calls) == ("telephony_off", [])


@pytest.mark.parametrize("change", [switch_off, freeze])
def test_module_that_is_on_again_is_noticed_and_used(tenant, crm, ours, add_missed, run_queue, later, change):
    change(crm, ours)
    add_missed()
    crm.modules[ours] |= {"active": True, "freeze": False}
    crm_tasks.probe_all()
    run_queue()
    later(timedelta(minutes=2))
    assert (denied(), len(crm.calls)) == ([], 1)


@pytest.mark.parametrize("change", [switch_off, delete])
def test_person_switches_the_module_on_again(tenant, crm, ours, add_missed, later, change):
    change(crm, ours)
    add_missed()
    steps.activate(Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk), now=timezone.now())
    later(timedelta(minutes=2))
    assert (crm.modules[ours]["active"], denied(), len(crm.calls)) == (True, [], 1)


@pytest.mark.parametrize("change", CHANGES)
def test_pages_say_that_the_module_is_off(client, tenant, crm, ours, add_missed, change):
    change(crm, ours)
    add_missed()
    client.force_login(create_user("olga", "Operator"))
    pages = (
        reverse("admin:tenants_tenant_change", args=[tenant.pk]),
        reverse("activate", args=[tenant.activation_token]),
    )
    for language, url in itertools.product(("en", "ru"), pages):
        with translation.override(language):
            sentence = str(AccessError.TELEPHONY_OFF.label)
        assert sentence in html_text.text(client.get(url, headers={"accept-language": language})), url


def test_one_answer_without_the_module_is_no_verdict(tenant, crm, crm_world, ours, monkeypatch):
    from tests.fakes import retailcrm_methods

    real = retailcrm_methods.answer
    stray = [retailcrm_methods.ApiError(404, "Not found").answer(errors_as_list=False)]

    def answer(account, request):
        return stray.pop() if stray and request.path.endswith(ours) else real(account, request)

    monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(extension="177")
    crm_tasks.link_users(tenant.pk)
    assert (denied(), stray) == ([], [])
    assert crm.users_of("177") == [27]


def test_stray_answer_that_telephony_is_off_suspends_nothing(tenant, crm, crm_world, ours, monkeypatch, pbx, notify):
    from tests.fakes import retailcrm_methods

    real = retailcrm_methods.answer
    stray = [retailcrm_methods.ApiError(200, "Telephony not enabled").answer(errors_as_list=False)]

    def answer(account, request):
        return stray.pop() if stray and "call/event" in request.path else real(account, request)

    monkeypatch.setattr("tests.fakes.retailcrm.answer", answer)
    ring(pbx, notify)
    assert (denied(), stray) == ([], [])
    upload(pbx, notify)
    assert len(crm.calls) == 1
