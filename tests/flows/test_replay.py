"""A stored decision, replayed under the version that made it, is record for record what was sent."""

import random
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_project.operations import replays
from crm.decided_calls import Loader
from telephony.models import Call
from tenants.models import Employee, Tenant
from tests.conftest import PETR
from tests.flows.drawn_rules import draw_call, draw_rules
from tests.rules import publish_rules

ALWAYS = {"since": timezone.datetime(2020, 1, 1, tzinfo=timezone.get_default_timezone())}


def fresh(tenant):
    return Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)


def decided(tenant, kind="call", draft=None):
    loader = Loader(fresh(tenant), draft)
    till = timezone.now() + timedelta(days=1)
    return loader, list(replays.load_each(loader, kind, till=till, **ALWAYS))


def unfaithful(tenant):
    """Return all differences between what was sent and its replay."""
    found = []
    for kind in replays.KINDS:
        loader, rows = decided(tenant, kind)
        found += [(kind, one.pk, bad) for one in rows if (bad := replays.unfaithful(loader, one))]
    return found


def record(outcome):
    """Return what a replay sends in the words of the CRM."""
    fields = outcome.fields
    return {
        "phone": fields.get("phone"),
        "externalPhone": fields.get("external_phone"),
        "code": fields.get("code"),
        "userId": int(fields["user"]) if "user" in fields else None,
        "site": fields.get("site"),
        "source": {name.partition(".")[2]: text for name, text in fields.items() if name.startswith("source.")} or None,
        "has_link": "recording_url" in fields,
    }


def stored(sent):
    names = ("phone", "externalPhone", "code", "userId", "site", "source")
    return {name: sent.get(name) for name in names} | {"has_link": bool(sent.get("recordUrl"))}


def replayed(tenant):
    """Return the record of each call that its own version sends."""
    loader, rows = decided(tenant)
    sessions = dict(Call.objects.values_list("pk", "session_id"))
    outcomes = {f"uis-{sessions[one.pk]}": replays.replay(loader, one, one.version) for one in rows if one.facts}
    return {key: record(outcome) for key, outcome in outcomes.items() if outcome.is_sent}


class World:
    """The fixtures of the property, in one value: hypothesis prints its arguments."""

    def __init__(self, tenant, notify, pbx, crm, crm_world, later):
        self.tenant, self.notify, self.pbx, self.later = tenant, notify, pbx, later
        self.crm, self.crm_world = crm, crm_world

    def __repr__(self):
        return "World"

    def play(self, rng):
        """Publish a version, and play three calls under it: some while the CRM is down, some repeated."""
        publish_rules(self.tenant, **draw_rules(rng, self.tenant))
        if rng.random() < 0.3:
            Employee.objects.filter(tenant=self.tenant, uis_id=PETR).update(popup=rng.choice(["", "ON_ANSWER", "OFF"]))
        for _call in range(3):
            call, now = self.pbx.call(**draw_call(rng)), timezone.now()
            if rng.random() < 0.3:
                call.records_at = now + timedelta(minutes=rng.choice([1, 5, 90]))
            rung = [leg.employee_id for leg in call.legs if leg.is_operator]
            told = [call.notification("waiting", employee_id=one, at=now) for one in rung]
            told += [call.notification("talk_started", employee_id=one, at=now) for one in _talkers(call)]
            bodies = [*told, call.notification("call_end")]
            if is_down := rng.random() < 0.2:
                self.crm_world.break_down("503")
            self.notify(*bodies, *rng.choices(bodies, k=rng.randint(0, 2)))
            if is_down:
                self.crm_world.repair()


@pytest.fixture
def world(tenant, twin, notify, pbx, crm, crm_world, later):
    return World(tenant, notify, pbx, crm, crm_world, later)


@pytest.mark.slow
@pytest.mark.timeout(180)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_replay_of_what_was_decided_equals_what_was_sent(seed, world):
    rng = random.Random(seed)
    for _version in range(3):
        world.play(rng)
    publish_rules(world.tenant, **draw_rules(rng, world.tenant))
    world.later(timedelta(minutes=30))
    world.later(timedelta(hours=3))
    assert unfaithful(world.tenant) == []
    assert replayed(world.tenant) == {sent["externalId"]: stored(sent) for sent in world.crm.calls}
    assert {one.tenant_id for one in Call.objects.all()} <= {world.tenant.pk}


def _talkers(call):
    return [leg.employee_id for leg in call.legs if leg.is_talked and leg.employee_id]
