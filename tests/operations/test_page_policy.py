"""Every page has the one strict policy, and nothing in it that the policy would refuse."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import path, reverse

from tenants.models import User
from tests import filled_addresses as addresses
from tests.populated import populate

ROOT = Path(settings.BASE_DIR)
DIRECTIVES = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
PRODUCT = ("connector_project", "tenants", "telephony", "crm", "templates")
STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
INLINE = re.compile(r"""<style|<script(?![^>]*\bsrc=)|\s(?:style|on[a-z]+)\s*=\s*["'{]|javascript:""", re.IGNORECASE)
DYNAMIC = re.compile(r"""setAttribute\(\s*["'](?:style|on)|\beval\(|new Function|cssText|createElement\(["']style""")


class Inline(HTMLParser):
    """Collects what a strict policy refuses in a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        is_data = names.get("type") == "application/json"
        if tag in {"style", "base", "iframe", "object", "embed"} or (
            tag == "script" and "src" not in names and not is_data
        ):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        self.found += [f"{tag} {value}" for value in names.values() if (value or "").startswith("javascript:")]


def must_not_run(request, **_parameters):
    raise AssertionError(request.path)


def is_page(answer):
    return answer.headers.get("Content-Type", "").startswith("text/html") and (
        answer.status_code != 200 or answer.streaming or bool(answer.content)
    )


def check(answer, where):
    """Check one response; return whether it is a page."""
    assert answer.status_code < 500, where
    if not is_page(answer):
        assert "Content-Security-Policy" not in answer, where
        return False
    check_page(answer, where)
    return True


def check_page(answer, where):
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy, where
    assert "*" not in policy, where
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert {name: directives.get(name) for name in STRICT} == STRICT, where
    assert "camera=()" in answer.headers["Permissions-Policy"], where
    assert Inline(answer.content.decode()).found == [], where


@pytest.fixture
def populated(tenant, pbx, notify, admin_user, settings):
    settings.RETAILCRM_MODULE_SECRET = "secret"
    populate(tenant, pbx, notify, by=admin_user)


@pytest.mark.slow
@pytest.mark.usefixtures("populated")
def test_every_address_answers_staff_with_the_policy(admin_client):
    for address in addresses.find():
        answer = admin_client.get(address.path)
        assert (answer.status_code == 404) == (not address.is_found), address
        check(answer, address)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("populated")
def test_every_form_answers_staff_with_the_policy(admin_client):
    """As a pop-up of the admin, and sent empty, which is refused or undone."""
    for address in addresses.find():
        if not address.name.startswith("admin:") or address.name == "admin:logout":
            continue
        check(admin_client.get(address.path, {"_popup": "1"}), address)
        with transaction.atomic():
            check(admin_client.post(address.path), address)
            transaction.set_rollback(True)


@pytest.mark.slow
@pytest.mark.usefixtures("populated")
def test_every_address_answers_strangers_with_the_policy(client):
    seen = [check(client.get(address.path), address) for address in addresses.find()]
    assert any(seen)


@pytest.mark.usefixtures("populated")
def test_people_without_rights_get_a_page_with_the_policy(client):
    client.force_login(User.objects.create_user("guest", password="x", is_staff=True))
    answer = client.get(reverse("admin:tenants_tenant_changelist"))
    assert answer.status_code == 403
    check_page(answer, "403")


@pytest.mark.parametrize("route", ["new/<slug:what>/", "new/<int:pk>/"])
def test_new_parameter_of_an_address_must_get_a_value(route):
    """So that no new page is left out."""
    with pytest.raises(addresses.CannotFill):
        addresses.find([path(route, must_not_run)])
    assert [one.path for one in addresses.find([path("new/", must_not_run, name="new")])] == ["/new/"]


def test_page_of_a_model_without_a_row_is_not_left_out(db):
    with pytest.raises(addresses.CannotFill, match="no row"):
        addresses.find()


def test_pages_of_errors_have_the_policy(db, monkeypatch):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    pages = {403: client.post("/admin/login/"), 404: client.get("/no/such/page/"), 405: client.put("/activate/x/")}
    pages[400] = client.get("/admin/login/", headers={"host": "other.example.com"})
    monkeypatch.setattr("django.contrib.admin.sites.AdminSite.each_context", lambda *_args: 1 / 0)
    broken = client.get("/admin/login/")
    assert (broken.status_code, broken.headers["Content-Type"]) == (500, "text/plain")  # It is no document.
    for status, answer in pages.items():
        assert answer.status_code == status
        check_page(answer, status)


@pytest.mark.parametrize("method", ["get", "post"])
def test_answers_to_machines_pay_for_no_policy(client, hook, method):
    for address in (hook, "/health/live/", "/api/v1/calls/", "/api/v1/schema/"):
        answer = getattr(client, method)(address)
        assert not is_page(answer) or answer.status_code == 405
        assert answer.status_code == 405 or "Content-Security-Policy" not in answer


def test_only_the_documentation_adds_to_the_policy(client):
    """Swagger UI's style sheet contains its pictures."""
    shown = ("/admin/login/", "/api/v1/docs/")
    pages = [client.get(address).headers["Content-Security-Policy"] for address in shown]
    assert [sorted(page.split("; ")) for page in pages] == [
        sorted(f"{name} {' '.join(values)}" for name, values in directives.items())
        for directives in (DIRECTIVES, DIRECTIVES | {"img-src": ["'self'", "data:"]})
    ]


def test_templates_contain_nothing_inline():
    found = [file for name in PRODUCT for file in (ROOT / name).rglob("*.html")]
    assert found
    assert [file for file in found if INLINE.search(file.read_text())] == []


def test_code_builds_nothing_inline():
    """HTML in the texts of the code, and scripts that write styles or handlers as attributes."""
    for name in PRODUCT:
        for file in (ROOT / name).rglob("*.py"):
            assert not INLINE.search(file.read_text()) or not _texts_with_inline(file), file
        for file in (ROOT / name).rglob("*.js"):
            assert file.parent.name == "chartjs" or not DYNAMIC.search(file.read_text()), file


def _texts_with_inline(file):
    texts = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
    return [text for text in texts if isinstance(text, str) and INLINE.search(text)]
