"""The stated times: who moves each state on, and how long that may take. docs/states.md is made of it.

0: not final, but tried again without an end, and in nobody's way.

python -m tests.flows.liveness.bounds --write
"""

import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "states.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
FAULT_GROUPS = {
    "away": "vendor away",
    "garbled": "answer garbled once",
    "denied": "access denied, or a right missing, for days",
    "wait": "vendor asks to wait for a day",
    "points": "no API points",
    "queue": "queue lost",
    "worker": "worker killed",
    "code": "our code, or a key, broken for a while",
    "poison": "row that never works",
}


@dataclass(frozen=True)
class Bounds:
    """Minutes; `final` by group of faults after the fault has ended, for `poison` after the row came into the state."""

    moved_by: str
    next_try: int
    final: dict[str, int]


def _bounds(moved_by: str, next_try: int, usual: int, **final: int) -> Bounds:
    return Bounds(moved_by, next_try, dict.fromkeys(FAULT_GROUPS, usual) | final)


CALL = {"away": 6, "denied": 7, "wait": 32, "worker": 5, "code": 7, "poison": 90}
COMMAND = {"away": 11, "denied": 11, "wait": 12, "points": 11, "worker": 6, "code": 12, "poison": 12}
ACTIVATION = {"away": 2, "denied": 2, "wait": 2, "worker": 5, "code": 14, "poison": 14}
BULK = {"worker": 5, "code": 20, "poison": 20}
BOUNDS: dict[str, Bounds] = {
    "Call DEBOUNCING": _bounds("calls.pipeline.evaluate_due", 1, 2, **CALL),
    "Call FETCHING_LEGS": _bounds("calls.fetch_legs.fetch_due", 1, 2, **CALL),
    "Call, missed, FETCHING_LEGS": _bounds(
        "calls.fetch_legs.fetch_due, calls.sweep.end_waits", 1, 5, **CALL | {"wait": 36, "worker": 6}
    ),
    "Call RESOLVING_OWNER": _bounds("crm.uploads.find_owners_due", 1, 2, **CALL),
    "Call READY": _bounds("crm.uploads.upload_due", 1, 2, **CALL),
    "Notification RECEIVED": _bounds("webhooks.process.process", 1, 2, worker=4, code=8, poison=70),
    "Notification QUEUED": _bounds("crm.popups.apply", 1, 4, worker=4, code=8, poison=60),
    "Popup OPENING": _bounds("Popup.objects.fail_unsent", 1, 12),
    "Popup OPEN": _bounds("crm.popups.apply", 1, 4, away=11, wait=11, worker=4, code=8, poison=60),
    "Popup, call over, OPEN": _bounds(
        "crm.popup_ends.close_waiting", 1, 4, away=4, wait=12, worker=5, code=4, poison=12
    ),
    "Command MAKE_CALL RECEIVED": _bounds("crm.commands.run", 1, 2, **COMMAND),
    "Command MAKE_CALL RUNNING": _bounds("crm.commands.resume_pending", 2, 4, **COMMAND),
    "Command SET_STATUS RECEIVED": _bounds("crm.commands.run", 1, 2, **COMMAND),
    "Command SET_STATUS RUNNING": _bounds("crm.commands.resume_pending", 2, 4, **COMMAND),
    "BulkAction RETRY": _bounds("bulk_actions.run_next", 1, 2, **BULK),
    "BulkAction SKIP": _bounds("bulk_actions.run_next", 1, 2, **BULK),
    "BulkAction REPROCESS": _bounds("bulk_actions.run_next", 1, 2, **BULK),
    "BulkAction IMPORT PREVIEWING": _bounds(
        "bulk_actions.run_next", 1, 2, away=7, denied=7, wait=32, worker=5, code=20, poison=90
    ),
    "BulkAction IMPORT RUNNING": _bounds(
        "bulk_actions.run_next", 1, 2, away=7, denied=7, wait=32, worker=5, code=20, poison=90
    ),
    **{
        f"Activation {step}": _bounds("onboarding.activation.run_next_step", 1, 2, **ACTIVATION)
        for step in ("UIS", "CRM", "PEOPLE", "LINK", "ON")
    },
    "AlertDelivery WAITING": _bounds("alerts.delivery.send", 1, 2, away=31, wait=62, worker=5, code=12, poison=0),
    "RulePreview RUNNING": _bounds("rule_previews.run", 1, 2, **BULK),
    "UploadVerification": _bounds(
        "crm.upload_verification.verify",
        60,
        69,
        away=69,
        garbled=129,
        denied=0,
        wait=129,
        queue=129,
        worker=129,
        code=129,
        poison=0,
    ),
}


def table() -> str:
    """Return the table of the document."""
    head = ["state", "moved on by", "next try", *FAULT_GROUPS.values()]
    rows = [head, ["---"] * len(head)]
    for name, one in BOUNDS.items():
        final = [str(one.final[group]) if one.final[group] else "–" for group in FAULT_GROUPS]
        rows.append([name, f"`{one.moved_by}`", str(one.next_try), *final])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def render(page: str) -> str:
    """Return the document with the present table."""
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__" and "--write" in sys.argv:
    PAGE.write_text(render(PAGE.read_text()))
