"""Every error of retailCRM becomes the exception that says what can be done."""

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
from tests.crm.retailcrm.samples import FOLDER, FakeSend, load, reply

UNAVAILABLE, REJECTED, DENIED, UNEXPECTED = RemoteUnavailable, RemoteRejected, AccessDenied, UnexpectedReply


def error_of(answer: Reply) -> tuple[type[RemoteError], str, str]:
    """Return the type, code and text of a request's error."""
    with pytest.raises(RemoteError) as raised:
        FakeSend(answer).client().versions()
    assert raised.value.system == "retailCRM"
    return type(raised.value), raised.value.code, str(raised.value)


# Section 1.6 of the reference, with all spellings seen.
MESSAGES = [
    ('"apiKey" is missing.', 403, DENIED, "key"),
    ('Wrong "apiKey" value.', 403, DENIED, "key"),
    ('Wrong "apiKey" value', 403, DENIED, "key"),
    ("Access denied.", 403, DENIED, "scope"),
    ("Account does not exist.", 404, DENIED, "account"),
    ("API method not found", 404, UNEXPECTED, "method_absent"),
    ("Not found", 404, REJECTED, "not_found"),
    ("Method Not Allowed", 405, UNEXPECTED, "method_absent"),
    ("Parameter 'event' is missing", 400, UNEXPECTED, "parameter_missing"),
    ("Parameter 'filter[a]' is missing", 400, UNEXPECTED, "parameter_missing"),
    ("Errors in the input parameters", 400, REJECTED, ""),
    ("Errors in the entity format", 400, REJECTED, ""),
    ("Validation error", 400, REJECTED, ""),
    ("Failed to activate module", 400, REJECTED, "module"),
    ('Input value "integrationModule" contains a non-scalar value', 400, UNEXPECTED, "non_scalar"),
    ("Not enabled simple connection", 400, REJECTED, ""),
    ("Telephony not enabled", 400, DENIED, "telephony_off"),
    ("Telephony not enabled or not supports calls upload", 400, DENIED, "telephony_off"),
    ("An unknown message", 400, REJECTED, ""),
]


@pytest.mark.parametrize(("message", "status", "kind", "code"), MESSAGES)
@pytest.mark.parametrize("success", [False, "false", None, 0])
def test_error_is_chosen_by_the_message(message, status, kind, code, success):
    for sent in (status, 200):  # some errors come with status 200 and `success` alone
        answer = Reply(sent, {}, json.dumps({"success": success, "errorMsg": message}))
        assert error_of(answer) == (kind, code, message)


@pytest.mark.parametrize("body", [{"success": False}, {"success": False, "errorMsg": None}])
def test_error_without_a_message_is_rejected(body):
    kind, code, text = error_of(Reply(400, {}, json.dumps(body)))
    assert (kind, code, bool(text)) == (REJECTED, "", True)


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
def test_error_text_has_the_details_in_both_formats(details, message):
    assert str(errors.from_answer({"errorMsg": "Odd", "errors": details}, right="user_read")) == message


def test_refusal_that_names_no_right_denies_everything():
    """A denial of nothing would be lifted by nothing."""
    assert errors.from_answer({"errorMsg": "Access denied."}, right="").subject == "account"


COMMON = {
    "no key": (DENIED, "key"),
    "bad key": (DENIED, "key"),
    "key lacks the method or scope": (DENIED, "scope"),
    "no such account": (DENIED, "account"),
    "no such account, POST, answered by the front web server": (UNAVAILABLE, ""),
    "method absent in this API version": (UNEXPECTED, "method_absent"),
    "bad input": (REJECTED, ""),
    "bad entity": (REJECTED, ""),
    "required parameter absent": (UNEXPECTED, "parameter_missing"),
    "no such entity": (REJECTED, "not_found"),
    "telephony inactive": (DENIED, "telephony_off"),
    "rate limit": (UNAVAILABLE, ""),
    "rate limit, possible newer form": (UNAVAILABLE, ""),
}


def test_common_errors_are_those_of_the_sample():
    assert list(COMMON) == [case["when"] for case in load("errors_common.json")["cases"]]


@pytest.mark.parametrize("case", load("errors_common.json")["cases"], ids=list(COMMON))
def test_common_error_is_as_in_the_reference(case):
    assert error_of(reply(case["response"]))[:2] == COMMON[case["when"]]


MODULE_ERRORS = [
    (UNEXPECTED, "non_scalar", 'Input value "integrationModule" contains a non-scalar value'),
    (REJECTED, "", "Errors in the entity format logo: Logo image must be svg"),
    (REJECTED, "", "Errors in the entity format baseUrl: This value should not be blank."),
    (REJECTED, "module", "Failed to activate module code: Code prefix must match integrationCode"),
    (REJECTED, "", "Errors in the entity format actions: The value you selected is not a valid choice."),
    (DENIED, "scope", "Access denied."),
]


def test_module_errors_have_their_details():
    cases = load("v5_module_edit_errors.json")["cases"]
    assert [error_of(reply(case["response"])) for case in cases] == MODULE_ERRORS


def test_update_scopes_without_simple_connection_is_rejected():
    answer = reply(load("v5_module_update_scopes_not_simple.json")["response"])
    assert error_of(answer) == (REJECTED, "", "Not enabled simple connection")


HTML = "<html><body>405 Not Allowed</body></html>"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Reply(503, {}, "Service Temporarily Unavailable"), UNAVAILABLE, ""),
        (Reply(503, {}, HTML), UNAVAILABLE, ""),
        (Reply(503, {}, '{"success": false, "errorMsg": "Access denied."}'), UNAVAILABLE, ""),
        (Reply(429, {}, ""), UNAVAILABLE, ""),
        (Reply(429, {}, '{"success": false, "errorMsg": "slow"}'), UNAVAILABLE, ""),
        (Reply(500, {}, HTML), UNAVAILABLE, ""),
        (Reply(502, {}, ""), UNAVAILABLE, ""),
        (Reply(504, {}, '{"success": false}'), UNAVAILABLE, ""),
        (Reply(301, {}, ""), DENIED, "account"),
        (Reply(302, {}, HTML), DENIED, "account"),
        (Reply(404, {}, f" \n{HTML}"), UNAVAILABLE, ""),
        (Reply(405, {}, HTML), UNAVAILABLE, ""),
        (Reply(200, {}, HTML), UNAVAILABLE, ""),
        (Reply(200, {}, ""), UNAVAILABLE, ""),
        (Reply(200, {}, '{"success": tru'), UNAVAILABLE, ""),
        (Reply(404, {}, "gone"), UNAVAILABLE, ""),
    ],
)
def test_reply_that_is_not_json_is_judged_by_its_status(answer, kind, code):
    assert error_of(answer)[:2] == (kind, code)


FOREIGN_BODIES = [
    HTML,
    "Forbidden",
    "",
    '{"message": "Forbidden"}',
    '{"error": {"code": 403, "message": "Forbidden", "status": "PERMISSION_DENIED"}}',
    '{"detail": "Account does not exist."}',
    '["Wrong apiKey value."]',
    "[" * 100_000,
]


@pytest.mark.parametrize("body", FOREIGN_BODIES, ids=range(len(FOREIGN_BODIES)))
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 451])
def test_refusal_that_is_not_the_apis_is_an_unavailable_vendor(status, body):
    assert error_of(Reply(status, {}, body))[:2] == (UNAVAILABLE, "")


@pytest.mark.parametrize("body", ["[]", "{}", "1", '{"message": "Forbidden"}', '{"versions": ["5.0"]}'])
def test_success_of_another_shape_is_unexpected(body):
    assert error_of(Reply(200, {}, body))[:2] == (UNEXPECTED, "")


LATER = [408, 425, 429, 499, 500, 501, 502, 503, 504, 507, 520, 521, 522, 523, 524, 525, 526, 527, 530, 598, 599]
REFUSALS = ["Access denied.", 'Wrong "apiKey" value.', "Account does not exist.", "Telephony not enabled", "Slow", None]


@pytest.mark.parametrize("status", LATER)
@pytest.mark.parametrize("message", REFUSALS)
def test_status_that_says_to_try_later_outweighs_the_body(status, message):
    body = json.dumps({"success": False, "errorMsg": message})
    assert {error_of(Reply(status, {}, text))[:2] for text in (body, *FOREIGN_BODIES)} == {(UNAVAILABLE, "")}


@pytest.mark.parametrize("status", [500, 502, 504])
def test_server_error_names_its_status(status):
    assert str(status) in error_of(Reply(status, {}, HTML))[2]


@pytest.mark.parametrize("status", [200, 429, 500, 503])
@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), (None, None)])
def test_retry_after_is_kept(status, header, wait):
    with pytest.raises(UNAVAILABLE) as raised:
        FakeSend(Reply(status, {"Retry-After": header} if header else {}, "")).client().versions()
    assert raised.value.wait == wait


SAMPLES = {path.name: load(path.name).get("response") for path in FOLDER.glob("v*.json")}
SAMPLES |= {name: load(name)["response"] for name in ("v5_module_update_scopes.json", "v5_user_groups.json")}


@pytest.mark.parametrize("name", [name for name, response in SAMPLES.items() if response])
def test_success_of_every_sample_is_recognised(name):
    response = SAMPLES[name]
    send = FakeSend(reply(response))
    if response["body"]["success"] is True:
        assert send.client().versions() == ()
    else:
        with pytest.raises(RemoteError):
            send.client().versions()


@pytest.mark.parametrize("success", [True, "true", "True"])
@pytest.mark.parametrize("status", [200, 201])
def test_success_is_decided_by_the_body_not_the_status(success, status):
    answer = Reply(status, {}, json.dumps({"success": success, "versions": ["5.0"]}))
    assert FakeSend(answer).client().versions() == ("5.0",)
