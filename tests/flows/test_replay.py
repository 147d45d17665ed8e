"""A stored decision, replayed under the version that made it, is record for record what was sent."""

import json
import random
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models.expressions import RawSQL
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_project.operations import replays
from connector_project.operations.erasure import run as erasure
from crm.decisions import Loader, Status, draft_version
from telephony.models import Call, CallLogEntry
from tenants.models import Employee, Tenant
from tenants.rules import Rules
from tests.conftest import CONTACT, IVAN, NUMBER, PETR
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
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


# --- single cases


@pytest.fixture
def missed(pbx, notify):
    def play(contact=CONTACT, **more):
        call = pbx.call(contact=contact, number=NUMBER, rings=[IVAN], **more)
        notify(call.notification("waiting", employee_id=IVAN, at=timezone.now()), call.notification("lost_call"))
        return call

    return play


def command(capsys, *args):
    """Run the command; return its lines and exit code."""
    code = 0
    try:
        call_command("replay_calls", "romashka", *args)
    except CommandError as exc:
        code = exc.returncode
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()], code


def test_command_counts_and_finds_nothing(missed, tenant, twin, capsys):
    missed()
    (line,), code = command(capsys)
    assert (line, code) == ({"tenant": "romashka", "same": 2, "undecided": 0, "gone": 0, "different": 0}, 0)
    assert command(capsys, "--since", "2020-01-01", "--till", "2020-01-02")[0][0]["same"] == 0


@pytest.mark.parametrize(
    ("changed", "name"), [({"code": "199"}, "code"), ({"link": "OURS"}, "recording_url"), ({"filled": {"x": "y"}}, "x")]
)
def test_command_fails_if_a_replay_differs_from_what_was_sent(missed, tenant, capsys, changed, name):
    missed()
    entry = CallLogEntry.objects.get(step="UPLOAD")
    entry.details |= changed
    if name == "code":  # what was sent and what it was made of are one value here, so another rule must have decided
        Call.objects.update(rule_version=publish_rules(tenant, missed_owner="NOBODY"))
    entry.save()
    lines, code = command(capsys)
    assert code == 1
    assert name in lines[0]["differences"]
    assert lines[-1]["different"] == 1


def test_changed_extension_changes_no_replay(missed, tenant):
    missed()
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(
        extension="155", crm_user_id=99, full_name="Другой", popup="OFF"
    )
    tenant.crm.site = "shop-two"
    tenant.crm.save(update_fields=["site"])
    assert unfaithful(tenant) == []


def test_own_choice_of_an_employee_is_part_of_the_decision(missed, tenant):
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(popup="ON_RING")
    publish_rules(tenant, popup_incoming="OFF")
    missed()
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(popup="OFF")
    missed(contact="79990000002")
    Employee.objects.filter(tenant=tenant, uis_id=IVAN).update(popup="ON_RING")
    assert [row.sent.skip_reason for kind in ("popup", "ring") for row in decided(tenant, kind)[1]] == ["", "POPUP_OFF"]
    assert unfaithful(tenant) == []


def test_erased_call_is_gone(missed, tenant, capsys):
    call = missed()
    missed(contact="79990000002")
    erasure.run(erasure.start(tenant, call.contact, now=timezone.now()).pk, now=timezone.now())
    (line,), code = command(capsys)
    assert (line["same"], line["gone"], code) == (2, 2, 0)


def test_uploaded_call_without_its_log_is_gone_and_never_guessed(missed, tenant):
    missed()
    CallLogEntry.objects.filter(step="UPLOAD").delete()
    assert [row.status for row in decided(tenant)[1]] == [Status.GONE]


def test_purged_call_is_not_replayed(missed, tenant, capsys):
    missed()
    Call.objects.all().delete()
    assert command(capsys)[0][0]["same"] == 1  # the pop-up


def test_call_that_cannot_be_read_stops_no_other(missed, pbx, notify, tenant):
    publish_rules(tenant, missed_owner="NOBODY", employee_filter="ONLY", employees=Employee.objects.filter(uis_id=PETR))
    for contact in (CONTACT, "79990000002"):
        call = pbx.call(contact=contact, number=NUMBER, talks=[(IVAN, 20)])
        notify(call.notification("call_end"))
    Call.objects.filter(contact=CONTACT).update(uis_snapshot=RawSQL("%s", ["gAAAAAB" + "lost" * 20]))
    draft = draft_version(fresh(tenant), Rules(owner="FIRST_TALKER"))
    assert sorted(row.status for row in decided(tenant, draft=draft)[1]) == [Status.DECIDED, Status.GONE]


def test_version_published_while_the_crm_is_down_decides_all_of_a_record(missed, crm, crm_world, tenant, later):
    publish_rules(tenant, missed_owner="RESPONSIBLE")
    crm.responsible[CONTACT] = 28
    missed()
    crm_world.break_down("503")
    missed(contact="79990000002")
    publish_rules(tenant, missed_owner="NOBODY", upload_missed=True)
    crm_world.repair()
    later(timedelta(minutes=10))
    owners = {sent["phone"]: sent.get("code") or sent.get("userId") for sent in crm.calls}
    assert owners == {f"+{CONTACT}": 28, "+79990000002": None}
    assert unfaithful(tenant) == []


def test_details_of_the_default_rules_are_few(missed, tenant):
    missed()
    details = CallLogEntry.objects.get(step="UPLOAD").details
    assert details.keys() == {"result", "code", "user", "employee", "version", "known"}


def test_portions_take_a_fixed_number_of_queries(missed, tenant, django_assert_max_num_queries):
    for number in range(6):
        missed(contact=f"7999000010{number}")
    loader = Loader(fresh(tenant), draft_version(fresh(tenant), Rules(missed_owner="NOBODY", owner="FIRST_TALKER")))
    till = timezone.now() + timedelta(days=1)
    for kind in replays.KINDS:
        replays.load_portion(loader, kind, till=till, after=None, **ALWAYS)
    for kind, most in (("call", 4), ("popup", 2), ("ring", 1)):
        with django_assert_max_num_queries(most):
            replays.load_portion(loader, kind, till=till, after=None, **ALWAYS)
