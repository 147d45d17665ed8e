"""Random rules and calls for the tests of replays, drawn from a seed."""

import random
from typing import Any

from telephony.models import Call
from tenants.models import Employee, Tenant, VirtualNumber
from tests.conftest import ANNA, IVAN, NUMBER, PETR

PEOPLE = (IVAN, PETR, ANNA)
CONTACTS = ("79990000021", "79990000022", "79160000023")
POPUPS = ("ON_RING", "ON_RING", "ON_ANSWER", "OFF")


def row(target: str, *facts: str, **more: Any) -> dict[str, Any]:
    """Return a row of a field map."""
    return {"target": target, "facts": list(facts), **more}


MAPS: tuple[list[dict[str, Any]], ...] = (
    [],
    [
        row("upload.source.source", "constant", constant="phone"),
        row("upload.source.content", "contact", form="last_four"),
        row("upload.source.keyword", "contact", form="hash"),
        row("upload.source.medium", "employee"),
        row("upload.source.campaign", "talk_seconds", subject="outcome", values=["answered"]),
        row("upload.external_phone", "number", form="leave_out", subject="outcome", values=["missed"]),
        row("upload.site", "number", form="dictionary", entries={f"+{NUMBER}": "shop-one"}),
    ],
    [
        row("upload.phone", "contact", form="leave_the_record_out", subject="direction", values=["out"]),
        row("upload.recording_url", "recording", form="leave_out", subject="direction", values=["in"]),
        row("popup.phone", "contact", form="leave_the_record_out", subject="number", values=["74950000002"]),
        row("popup.campaign", "constant", constant="Spring"),
        row("popup.external_phone", "number", form="leave_out"),
    ],
)


def draw_rules(rng: random.Random, tenant: Tenant) -> dict[str, Any]:
    """Draw the rules of a version, as `publish_rules` takes them; most calls pass."""
    staff = Employee.objects.filter(tenant=tenant, uis_id__in=rng.sample(PEOPLE, rng.randint(1, 2)))
    return {
        **{f"upload_{kind}": rng.random() < 0.85 for kind in ("answered", "missed", "outgoing")},
        "upload_internal": rng.random() < 0.5,
        "popup_incoming": rng.choice(POPUPS),
        "popup_outgoing": rng.choice(POPUPS),
        "number_filter": rng.choice(["ALL", "ALL", "ONLY", "EXCEPT"]),
        "numbers": VirtualNumber.objects.filter(tenant=tenant, number=rng.choice([NUMBER, "74950000002"])),
        "employee_filter": rng.choice(["ALL", "ALL", "EXCEPT"]),
        "employees": staff,
        "contact_filter": rng.choice(["ALL", "ALL", "EXCEPT"]),
        "contacts": rng.choice(["+79990000021", "7916*"]),
        "owner": rng.choice(["LAST_TALKER", "FIRST_TALKER", "LONGEST_TALKER"]),
        "missed_owner": rng.choice(["LAST_RUNG", "RESPONSIBLE", "NOBODY"]),
        "send_recording": rng.random() < 0.8,
        "recording_link": rng.choice(["UIS", "OURS"]),
        "recording_wait_minutes": rng.choice([0, 2, 10]),
        "recording_days": rng.choice([None, None, 0, 30]),
        "field_map": rng.choice(MAPS),
    }


def draw_call(rng: random.Random) -> dict[str, Any]:
    """Draw the parameters of a call of the fake."""
    people = rng.sample(PEOPLE, rng.randint(1, 3))
    fields: dict[str, Any] = {
        "contact": rng.choice(CONTACTS),
        "number": rng.choice([NUMBER, "74950000002"]),
        "rings": people,
        "wait": rng.randint(1, 20),
        "direction": rng.choice(["in", "in", "in", "out"]),
    }
    if rng.random() < 0.6:
        fields["talks"] = [(person, rng.randint(3, 90)) for person in people[: rng.randint(1, 2)]]
        fields["recorded"] = rng.random() < 0.7
    elif fields["direction"] == "out":
        fields["rings"] = people[:1]
    return fields


def states(tenant: Tenant) -> dict[int, tuple[str, str]]:
    """Return state and rule of each call."""
    return {
        pk: (state, rule)
        for pk, state, rule in Call.objects.filter(tenant=tenant).values_list("pk", "state", "skip_reason")
    }
