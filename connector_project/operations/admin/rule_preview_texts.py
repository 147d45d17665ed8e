"""What a preview of rules says in words: counts of calls and pop-ups, and samples of what would change."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import number_forms
from connector_project.core.check_results import Text
from connector_project.operations import replays
from connector_project.operations.models import RulePreview
from crm.decisions import Decided, Loader, Status, draft_version
from telephony.models import Call
from tenants import datetime_display, rule_labels
from tenants.replay import MAY_WAIT, NOT_ANSWERED, Asked, Change, Outcome
from tenants.rules import RecordingKind, loads
from tenants.transfer_rules import SkipReason

FIELDS: Mapping[str, Text] = {
    "phone": _("phone"),
    "external_phone": _("our number"),
    "site": _("store"),
    "recording_url": _("recording link"),
    "source.source": _("advertising source"),
    "source.medium": _("advertising medium"),
    "source.campaign": _("advertising campaign"),
    "source.keyword": _("advertising keyword"),
    "source.content": _("advertising content"),
    "client_id": _("client ID of the site's analytics"),
    "code": _("extension"),
    "user": _("CRM user"),
    "campaign": _("advertising campaign"),
    "opens": _("when it opens"),
}
VALUES: Mapping[tuple[str, str], Text] = {
    ("opens", "ring"): _("when it rings"),
    ("opens", "answer"): _("when the employee answers"),
    ("recording_url", RecordingKind.UIS.value): _("UIS link"),
    ("recording_url", RecordingKind.OURS.value): _("our link"),
    ("recording_url", MAY_WAIT): _("UIS link, or ours if the recording is late"),
}
ASKED: Mapping[str, Text] = {
    Asked.CRM: _("the CRM would be asked for the customer's manager, so the owner is not known"),
    Asked.UIS: _("UIS would be asked for the legs, so the record is not known"),
}
NOTHING = "–"
Line = tuple[str, str, int, list[tuple[str, int]]]
TITLES: Mapping[str, Text] = {"call": _("Calls"), "popup": _("Pop-ups")}


def describe(preview: RulePreview) -> list[dict[str, Any]]:
    """Return the counts of calls and of pop-ups: each with a title, lines, and how many were decided."""
    return [
        {"name": name, "title": TITLES[name], "lines": _lines(name, counts)} for name, counts in preview.counts.items()
    ]


def _lines(name: str, counted: Mapping[str, Any]) -> list[Line]:
    """Return the lines of a table: code, label, count, and of what it consists."""
    counts = counted.get("counts", {})
    skipped = [(reason(code), count) for code, count in counted.get("skipped_by", {}).items()]
    fields = [(str(FIELDS.get(code, code)), count) for code, count in counted.get("fields", {}).items()]
    asked = counted.get("asked", {})
    parts = {"skipped": skipped, "changed": fields}
    labels = {**_LABELS[name], **_SHARED}
    found = [(code, str(label), counts.get(code, 0), parts.get(code, [])) for code, label in labels.items()]
    found += [(f"asked-{code}", str(ASKED[code]), count, []) for code, count in asked.items()]
    always = {"decided", "same", "changed", "skipped", "sent"}
    return [line for line in found if line[2] or line[0] in always]


_SHARED: Mapping[str, Text] = {
    "changed": _("sent as before, with other fields"),
    "skipped": _("no longer sent"),
    "sent": _("sent, which were not before"),
    "otherwise_skipped": _("not sent as before, for another reason"),
    "undecided": _("not decided yet"),
    "gone": _("what they were decided by was deleted, by the retention or an erasure: not replayed"),
}
_LABELS: Mapping[str, Mapping[str, Text]] = {
    "call": {"decided": _("calls replayed"), "same": _("the same as before")},
    "popup": {"decided": _("pop-ups and rings without one replayed"), "same": _("the same as before")},
}


def reason(code: str) -> str:
    """Return why nothing is sent."""
    if code == NOT_ANSWERED:
        return gettext("the employee did not answer")
    return str(rule_labels.label(SkipReason(code)))


def in_words(outcome: Outcome) -> str:
    """Return what becomes of a call, or a pop-up."""
    if outcome.asked:
        return str(ASKED[outcome.asked])
    if outcome.skip_reason:
        return gettext("not sent: %(reason)s") % {"reason": reason(outcome.skip_reason)}
    return gettext("sent")


def samples(
    preview: RulePreview, *, number: Callable[[str], str], sees_numbers: bool, now: datetime
) -> list[dict[str, Any]]:
    """Return the samples as they are replayed now: nothing of a call is stored with a preview.

    `number` formats a contact's number for the reader. A fixed number of queries.
    """
    tenant = preview.tenant
    loader = Loader(tenant, draft_version(tenant, loads(preview.rules)))
    wanted: list[tuple[str, int]] = [(kind, pk) for kind, pk in preview.result.get("samples", [])]
    known = {
        kind: replays.load_some(loader, kind, [pk for name, pk in wanted if name == kind]) for kind in replays.KINDS
    }
    rows = {kind: replays.row_facts(kind, tenant, list(found)) for kind, found in known.items()}
    sessions = {session for facts in rows.values() for session, _at in facts.values()}
    calls = dict(Call.objects.filter(tenant=tenant, session_id__in=sessions).values_list("session_id", "pk"))
    lines = list[dict[str, Any]]()
    for kind, pk in wanted:
        one, line = known[kind].get(pk), {"kind": kind, "is_gone": True}
        if (facts := rows[kind].get(pk)) is not None:
            session, at = facts
            shown_at = datetime_display.format_short(tenant, at, now=now)
            line |= {"session": session, "call": calls.get(session), "at": shown_at}
        if one is not None and one.status == Status.DECIDED:
            line |= _sample(loader, one, number, sees_numbers=sees_numbers)
        lines.append(line)
    return lines


def _sample(loader: Loader, one: Decided, number: Callable[[str], str], *, sees_numbers: bool) -> dict[str, Any]:
    found, contact = replays.difference(loader, one), one.facts.call.contact

    def shown(change: Change, value: str) -> str:
        text = str(VALUES.get((change.name, value), value)) or NOTHING
        return text if sees_numbers else number_forms.mask_number(text, contact)

    changes = [
        (str(FIELDS.get(change.name, change.name)), shown(change, change.before), shown(change, change.after))
        for change in found.changes
    ]
    return {
        "is_gone": False,
        "contact": number(contact) if contact else NOTHING,
        "changes": changes or [("", in_words(found.before), in_words(found.after))],
    }
