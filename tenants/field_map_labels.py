"""A field map in words: its fields, facts, forms, conditions and prices, and why a row is refused."""

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core.check_results import Text, join_limited
from tenants.field_map.conditions import Condition, Subject
from tenants.field_map.facts import Fact, Price
from tenants.field_map.rows import FieldMapError, Problem, Row
from tenants.field_map.transformations import Kind

FIELDS: Mapping[str, Text] = {
    "popup.phone": _("pop-up: customer's number"),
    "popup.external_phone": _("pop-up: our number"),
    "popup.site": _("pop-up: store"),
    "popup.campaign": _("pop-up: campaign"),
    "upload.phone": _("call: customer's number"),
    "upload.external_phone": _("call: our number"),
    "upload.site": _("call: store"),
    "upload.recording_url": _("call: recording link"),
    "upload.source.source": _("call: source"),
    "upload.source.medium": _("call: medium"),
    "upload.source.campaign": _("call: campaign"),
    "upload.source.keyword": _("call: keyword"),
    "upload.source.content": _("call: content"),
    "upload.client_id": _("call: visitor's ID of web analytics"),
}
FACTS: Mapping[Fact, Text] = {
    Fact.CONTACT: _("customer's number"),
    Fact.NUMBER: _("our number"),
    Fact.STORE: _("store of our number"),
    Fact.EMPLOYEE: _("employee"),
    Fact.DIRECTION: _("direction"),
    Fact.SOURCE: _("source"),
    Fact.SCENARIO: _("scenario"),
    Fact.CAMPAIGN: _("campaign"),
    Fact.UTM_SOURCE: _("UTM source"),
    Fact.UTM_MEDIUM: _("UTM medium"),
    Fact.UTM_CAMPAIGN: _("UTM campaign"),
    Fact.UTM_TERM: _("UTM term"),
    Fact.UTM_CONTENT: _("UTM content"),
    Fact.TRAFFIC_SOURCE: _("traffic source"),
    Fact.CHANNEL: _("channel"),
    Fact.REGION: _("region of the caller"),
    Fact.YM_CLIENT_ID: _("visitor's ID of Yandex Metrica"),
    Fact.UA_CLIENT_ID: _("visitor's ID of Google Analytics"),
    Fact.CUSTOMER: _("known or new customer"),
    Fact.CONSTANT: _("a text of your own"),
    Fact.OUTCOME: _("outcome"),
    Fact.TALK_SECONDS: _("talk, seconds"),
    Fact.WAIT_SECONDS: _("wait, seconds"),
    Fact.RECORDING: _("recording link"),
    Fact.TAGS: _("tags"),
    Fact.RATING: _("rating"),
}
FORMS: Mapping[Kind, Text] = {
    Kind.PASS: _("as it is"),
    Kind.LEAVE_OUT: _("left out"),
    Kind.MASK_MIDDLE: _("with the middle masked"),
    Kind.LAST_FOUR: _("the last four characters"),
    Kind.HASH: _("as a hash that only this client's data has"),
    Kind.DICTIONARY: _("translated by a dictionary"),
    Kind.LEAVE_THE_RECORD_OUT: _("nothing is sent at all"),
}
SUBJECTS: Mapping[Subject, Text] = {
    Subject.ALWAYS: _("always"),
    Subject.DIRECTION: _("if the direction is"),
    Subject.OUTCOME: _("if the outcome is"),
    Subject.NUMBER: _("if our number is"),
    Subject.SOURCE: _("if the source is"),
    Subject.CUSTOMER: _("if the customer is"),
}
VALUES: Mapping[str, Text] = {
    "in": _("incoming"),
    "out": _("outgoing"),
    "answered": _("answered"),
    "missed": _("missed"),
    "known": _("known to the CRM"),
    "new": _("new to the CRM"),
}
PRICES: Mapping[Price, Text] = {
    Price.NOTHING: _("costs nothing"),
    Price.NOTIFICATION: _("in UIS's notification: costs nothing"),
    Price.STATIC: _("by the virtual number: costs nothing, is read once an hour"),
    Price.REPORT: _("from UIS's report: costs points, and the upload waits for the row"),
    Price.KNOWN_CUSTOMER: _("the CRM is asked once for each call"),
}
PROBLEMS: Mapping[Problem, Text] = {
    Problem.NO_ROW: _("is no row of a field map: “%(value)s”. Choose its parts from the lists."),
    Problem.UNKNOWN_TARGET: _("names the unknown field “%(value)s”. Choose one from the list."),
    Problem.UNKNOWN_FACT: _("names the unknown fact “%(value)s”. Choose one from the list."),
    Problem.NO_FACT: _("names no fact. Choose what fills the field."),
    Problem.FACT_NOT_OF_TARGET: _("fills the field with “%(value)s”, which it does not take. Choose another fact."),
    Problem.FACT_AFTER_RING: _("needs “%(value)s”, which is not known while a phone rings. Choose another fact."),
    Problem.UNKNOWN_FORM: _("names the unknown form “%(value)s”. Choose one from the list."),
    Problem.FORM_NOT_OF_TARGET: _("has the form “%(value)s”, which its field does not take. Choose another form."),
    Problem.NO_ENTRIES: _("needs a dictionary of up to 500 lines, and only the form “translated” has one."),
    Problem.NO_CONSTANT: _("needs a text for “a text of your own”, and only for that."),
    Problem.BAD_CONDITION: _("has a condition that cannot hold: “%(value)s”. Choose its values from the list."),
    Problem.TOO_LONG: _("has a text longer than the CRM takes: 255 characters."),
    Problem.SENDS_NOTHING: _(
        "This field map would send neither pop-ups nor calls. Let the number pass in one of them."
    ),
}
_CODES: tuple[Mapping[object, Text], ...] = (FACTS, FORMS, VALUES)  # type: ignore[assignment]  # keys are texts


def describe(row: Row) -> str:
    """Return a row as a sentence, in the active language."""
    facts = gettext(", else ").join(_fact(row, fact) for fact in row.facts)
    text = f"{FIELDS[row.target]} ← {facts}, {FORMS[row.transformation.kind]}"
    entries = join_limited(f"{key} → {value}" for key, value in row.transformation.entries.items())
    text += f" ({entries})" if entries else ""
    return f"{text}, {describe_condition(row.condition)}" if row.condition.subject != Subject.ALWAYS else text


def describe_condition(condition: Condition) -> str:
    values = join_limited(str(VALUES.get(value, value)) for value in condition.values)
    return f"{SUBJECTS[condition.subject]} {values}".strip()


def refusal(error: FieldMapError) -> str:
    """Return why a map is refused, in the active language."""
    value = next((str(codes[error.value]) for codes in _CODES if error.value in codes), error.value)
    text = str(PROBLEMS[error.problem]) % {"value": value}
    return gettext("Row %(row)d %(problem)s") % {"row": error.row, "problem": text} if error.row else text


def added_and_removed(before: Sequence[Row], after: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Return the rows that a map gains and loses, in words; of another order all that moved are both."""
    if [*before] == [*after]:
        return [], []
    kept = [row for row in before if row in after]
    is_moved = kept != [row for row in after if row in before]
    gained = [row for row in after if is_moved or row not in before]
    lost = [row for row in before if is_moved or row not in after]
    return [describe(row) for row in gained], [describe(row) for row in lost]


def _fact(row: Row, fact: Fact) -> str:
    return f"“{row.constant}”" if fact == Fact.CONSTANT else str(FACTS[fact])
