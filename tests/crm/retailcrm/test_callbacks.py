"""The CRM's callbacks, as in the samples: the same parameters by GET and by POST."""

import hashlib
import hmac
import json

import pytest
from django.test import RequestFactory

from connector_project.core import phone_numbers
from connector_project.core.untrusted_input import request_params
from crm import api_scopes
from tenants.account_url import validation_error
from tests.crm.retailcrm.samples import form, load

CALLBACKS = [
    "callback_account_url_open.json",
    "callback_activity.json",
    "callback_make_call.json",
    "callback_settings.json",
    "callback_user_status.json",
    "simple_connection_register.json",
]


def params_of(query: str = "", body: str = "") -> dict[str, str]:
    """Return the parameters of a request as our views see them."""
    url = f"/?{query}" if query else "/"
    if body:
        return request_params(RequestFactory().post(url, body, content_type="application/x-www-form-urlencoded"))
    return request_params(RequestFactory().get(url))


@pytest.mark.parametrize("name", CALLBACKS)
def test_callback_has_the_same_parameters_by_get_and_by_post(name):
    request = load(name)["request"]
    raw = request.get("raw_body") or request["raw_query"]
    by_post, by_get = params_of(body=raw), params_of(query=raw)
    assert by_post == by_get
    assert form(raw) == request.get("form_decoded", request.get("query"))
    assert {name: json.loads(value) if value[:1] == "{" else value for name, value in by_post.items()} == form(raw)


@pytest.mark.parametrize(
    "query",
    [load("callback_make_call.json")["request"]["raw_query"]]
    + [variant["raw_query"] for variant in load("callback_make_call.json")["variants"]],
)
def test_click_has_the_same_number_in_any_spelling(query):
    assert phone_numbers.from_person(params_of(query)["phone"], region="RU") == ("79990000001", "")


def test_account_url_of_a_callback_is_valid():
    system_url = load("callback_activity.json")["request"]["form_decoded"]["systemUrl"]
    assert validation_error(system_url, domains=["retailcrm.ru"], is_trusted=False) == ""


def test_simple_connection_token_is_the_hmac_of_its_key():
    sample = load("simple_connection_register.json")
    register = sample["request"]["form_decoded"]["register"]
    secret = sample["secret_used_for_this_sample"]
    assert hmac.new(secret.encode(), register["apiKey"].encode(), hashlib.sha256).hexdigest() == register["token"]


@pytest.mark.parametrize("name", ["simple_connection_config.json", "credentials_telephony_connector.json"])
def test_documented_scopes_include_ours(name):
    assert set(api_scopes.SCOPES) <= set(load(name)["response"]["body"]["scopes"])
