"""Requests of programs pass the middleware that they need, and their errors look like all others."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware
from django.test import RequestFactory
from django.utils import translation
from django_otp.middleware import OTPMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

from connector_project.core.program_addresses import ProgramAddresses
from tests import addresses

FOR_PAGES = [
    *(SessionMiddleware, LocaleMiddleware, AuthenticationMiddleware, OTPMiddleware, MessageMiddleware),
    *(CsrfViewMiddleware, WhiteNoiseMiddleware),
]


@pytest.fixture
def is_for_programs():
    middleware = ProgramAddresses(lambda _request: HttpResponse())
    middleware.for_programs = lambda _request: HttpResponse("programs")

    def ask(template):
        path = re.sub(r"\{\w+\}", "x", template)
        return middleware(RequestFactory().get(path)).content == b"programs"

    return ask


def test_programs_are_who_the_proxy_sends_to_their_pool(is_for_programs):
    proxy = (Path(settings.BASE_DIR) / "deploy" / "nginx.conf").read_text()
    (pool,) = re.findall(r"location ~ (\S+) \{[^}]*proxy_pass http://connector_programs;", proxy)
    found = {template for template in addresses.templates() if is_for_programs(template)}
    assert found == {template for template in addresses.templates() if re.match(pool, template)}
    assert found == {
        *("/hooks/uis/{hook}/", "/hooks/uis/{hook}/{event}/"),
        *(f"/hooks/retailcrm/{{hook}}/{name}/" for name in ("make-call", "change-user-status", "activity", "settings")),
        *("/connect/retailcrm/", "/connect/retailcrm/register/", "/health/live/", "/health/ready/"),
    }


@pytest.fixture
def passed(monkeypatch):
    """The parts for pages that requests have passed."""
    names = set()
    for part in FOR_PAGES:
        call = part.__call__

        def run(self, request, part=part, call=call):
            names.add(part.__name__)
            return call(self, request)

        monkeypatch.setattr(part, "__call__", run)
    return names


def test_notification_passes_nothing_that_only_pages_need(client, hook, passed):
    assert client.post(hook, "{}", content_type="application/json").status_code == 200
    assert passed == set()
    client.get("/admin/login/")
    assert passed == {part.__name__ for part in FOR_PAGES}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("headers", [{}, {"accept-language": "en"}, {"cookie": "django_language=en"}])
def test_unknown_hook_has_the_headers_of_any_unknown_address(client, tenant, headers, method):
    translation.activate("en" if not headers else "ru")  # as a page has left it
    answers = [getattr(client, method)(path, headers=headers) for path in ("/hooks/uis/unknown/", "/nothing/here/")]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].content == answers[1].content
    assert {**answers[0].headers} == {**answers[1].headers}
    assert answers[0].headers["Content-Language"] == ("en" if headers else "ru")


def test_wrong_host_is_refused_as_on_any_page(client, hook):
    answers = [client.get(path, headers={"host": "other.example.com"}) for path in (hook, "/nothing/here/")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].content == answers[1].content


def test_notification_is_answered_with_its_length(client, hook):
    answer = client.post(hook, "{}", content_type="application/json")
    assert answer.headers["Content-Length"] == "0"
    assert "Vary" not in answer.headers
