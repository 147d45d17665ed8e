"""Every error of retailCRM, sorted by what can be done about it."""

import json

import pytest

from connector_project.core.http_client import (
    AccessDenied,
    RemoteError,
    RemoteRejected,
    RemoteUnavailable,
    Reply,
    UnexpectedReply,
)
from crm.retailcrm import errors
from tests.crm.retailcrm.samples import FOLDER, Line, load, reply

LATER, STOP, DENIED, OURS = RemoteUnavailable, RemoteRejected, AccessDenied, UnexpectedReply


def ended(answer: Reply) -> tuple[type[RemoteError], str, str]:
    """Return how a request ended: the kind of error, its code, its text."""
    with pytest.raises(RemoteError) as raised:
        Line(answer).client().versions()
    assert raised.value.system == "retailCRM"
    return type(raised.value), raised.value.code, str(raised.value)


# Section 1.6 of the reference, with the spellings met.
MESSAGES = [
    ('"apiKey" is missing.', 403, DENIED, "key"),
    ('Wrong "apiKey" value.', 403, DENIED, "key"),
    ('Wrong "apiKey" value', 403, DENIED, "key"),
    ("Access denied.", 403, DENIED, "scope"),
    ("Account does not exist.", 404, DENIED, "account"),
    ("API method not found", 404, OURS, "method_absent"),
    ("Not found", 404, STOP, "not_found"),
    ("Method Not Allowed", 405, OURS, "method_absent"),
    ("Parameter 'event' is missing", 400, OURS, "parameter_missing"),
    ("Parameter 'filter[a]' is missing", 400, OURS, "parameter_missing"),
    ("Errors in the input parameters", 400, STOP, ""),
    ("Errors in the entity format", 400, STOP, ""),
    ("Validation error", 400, STOP, ""),
    ("Failed to activate module", 400, STOP, "module"),
    ('Input value "integrationModule" contains a non-scalar value', 400, OURS, "non_scalar"),
    ("Not enabled simple connection", 400, STOP, ""),
    ("Telephony not enabled", 400, DENIED, "telephony_off"),
    ("Telephony not enabled or not supports calls upload", 400, DENIED, "telephony_off"),
    ("A sentence of tomorrow", 400, STOP, ""),
]


@pytest.mark.parametrize(("message", "status", "kind", "code"), MESSAGES)
@pytest.mark.parametrize("success", [False, "false", None, 0])
def test_refusal_is_sorted_by_its_message(message, status, kind, code, success):
    for sent in (status, 200):  # some errors come with status 200 and `success` alone
        answer = Reply(sent, {}, json.dumps({"success": success, "errorMsg": message}))
        assert ended(answer) == (kind, code, message)


@pytest.mark.parametrize("body", [{"success": False}, {"success": False, "errorMsg": None}, {}])
def test_refusal_may_lack_its_reason(body):
    kind, code, text = ended(Reply(400, {}, json.dumps(body)))
    assert (kind, code, bool(text)) == (STOP, "", True)


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"limit": "No.", "page": "No."}, "Odd limit: No.; page: No."),
        (["one", "two"], "Odd one; two"),
        ([], "Odd"),
        ({}, "Odd"),
        (None, "Odd"),
        ("text", "Odd"),
    ],
)
def test_refusal_writes_out_its_details_in_both_shapes(details, message):
    assert str(errors.from_answer({"errorMsg": "Odd", "errors": details})) == message


COMMON = {
    "no key": (DENIED, "key"),
    "bad key": (DENIED, "key"),
    "key lacks the method or scope": (DENIED, "scope"),
    "no such account": (DENIED, "account"),
    "no such account, POST, answered by the front web server": (DENIED, "account"),
    "method absent in this API version": (OURS, "method_absent"),
    "bad input": (STOP, ""),
    "bad entity": (STOP, ""),
    "required parameter absent": (OURS, "parameter_missing"),
    "no such entity": (STOP, "not_found"),
    "telephony inactive": (DENIED, "telephony_off"),
    "rate limit": (LATER, ""),
    "rate limit, possible newer form": (LATER, ""),
}


def test_common_refusals_are_all_of_the_sample():
    assert list(COMMON) == [case["when"] for case in load("errors_common.json")["cases"]]


@pytest.mark.parametrize("case", load("errors_common.json")["cases"], ids=list(COMMON))
def test_common_refusal_ends_as_the_reference_says(case):
    assert ended(reply(case["response"]))[:2] == COMMON[case["when"]]


MODULE_ENDS = [
    (OURS, "non_scalar", 'Input value "integrationModule" contains a non-scalar value'),
    (STOP, "", "Errors in the entity format logo: Logo image must be svg"),
    (STOP, "", "Errors in the entity format baseUrl: This value should not be blank."),
    (STOP, "module", "Failed to activate module code: Code prefix must match integrationCode"),
    (STOP, "", "Errors in the entity format actions: The value you selected is not a valid choice."),
    (DENIED, "scope", "Access denied."),
]


def test_module_refusals_say_what_is_wrong():
    cases = load("v5_module_edit_errors.json")["cases"]
    assert [ended(reply(case["response"])) for case in cases] == MODULE_ENDS


def test_scopes_of_another_kind_of_connection_are_refused():
    answer = reply(load("v5_module_update_scopes_not_simple.json")["response"])
    assert ended(answer) == (STOP, "", "Not enabled simple connection")


HTML = "<html><body>405 Not Allowed</body></html>"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Reply(503, {}, "Service Temporarily Unavailable"), LATER, ""),
        (Reply(503, {}, HTML), LATER, ""),
        (Reply(503, {}, '{"success": false, "errorMsg": "Access denied."}'), LATER, ""),
        (Reply(429, {}, ""), LATER, ""),
        (Reply(429, {}, '{"success": false, "errorMsg": "slow"}'), LATER, ""),
        (Reply(500, {}, HTML), LATER, ""),
        (Reply(502, {}, ""), LATER, ""),
        (Reply(504, {}, '{"success": false}'), LATER, ""),
        (Reply(301, {}, ""), DENIED, "account"),
        (Reply(302, {}, HTML), DENIED, "account"),
        (Reply(404, {}, f" \n{HTML}"), DENIED, "account"),
        (Reply(405, {}, HTML), DENIED, "account"),
        (Reply(200, {}, HTML), LATER, ""),
        (Reply(200, {}, ""), LATER, ""),
        (Reply(200, {}, '{"success": tru'), LATER, ""),
        (Reply(404, {}, "gone"), LATER, ""),
    ],
)
def test_reply_that_is_no_answer_is_sorted_by_its_status(answer, kind, code):
    assert ended(answer)[:2] == (kind, code)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_server_error_names_its_status(status):
    assert str(status) in ended(Reply(status, {}, HTML))[2]


@pytest.mark.parametrize("status", [200, 429, 500, 503])
@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), (None, None)])
def test_wait_the_server_names_is_kept(status, header, wait):
    with pytest.raises(LATER) as raised:
        Line(Reply(status, {"Retry-After": header} if header else {}, "")).client().versions()
    assert raised.value.wait == wait


SAMPLES = {path.name: load(path.name).get("response") for path in FOLDER.glob("v*.json")}
SAMPLES |= {name: load(name)["response"] for name in ("v5_module_update_scopes.json", "v5_user_groups.json")}


@pytest.mark.parametrize("name", [name for name, response in SAMPLES.items() if response])
def test_success_of_every_sample_is_seen(name):
    response = SAMPLES[name]
    line = Line(reply(response))
    if response["body"]["success"] is True:
        assert line.client().versions() == ()
    else:
        with pytest.raises(RemoteError):
            line.client().versions()


@pytest.mark.parametrize("success", [True, "true", "True"])
@pytest.mark.parametrize("status", [200, 201])
def test_success_decides_not_the_status(success, status):
    answer = Reply(status, {}, json.dumps({"success": success, "versions": ["5.0"]}))
    assert Line(answer).client().versions() == ("5.0",)
