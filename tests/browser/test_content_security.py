"""Every page of the product in Chromium: the Content-Security-Policy refuses nothing that our pages contain."""

import os

import pytest

from tests import filled_addresses as addresses
from tests import needs
from tests.browser.chromium import PROGRAM, SIZES, launched, on_screens
from tests.browser.crawler import Crawl
from tests.populated import populate

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _plain_http(settings):
    """The server of the test has no https: its cookies are neither Secure nor named so."""
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = "sessionid", "csrftoken"


@pytest.fixture
def pages(tenant, pbx, notify, admin_user, admin_client, client, settings):
    """The addresses that are pages for staff, those that are pages for strangers, and the session of the former."""
    needs.program(PROGRAM, package="chromium")
    settings.RETAILCRM_MODULE_SECRET = "secret"
    populate(tenant, pbx, notify, by=admin_user)
    found = [address for address in addresses.find() if address.name != "admin:logout"]
    answers = {address: admin_client.get(address.path) for address in found}
    assert [address for address, answer in answers.items() if (answer.status_code == 404) == address.is_found] == []
    staff = _pages(answers)
    strangers = [path for path in _pages({one: client.get(one.path) for one in found}) if path not in staff]
    return staff, strangers, admin_client.cookies[settings.SESSION_COOKIE_NAME].value


def _pages(answers):
    """Return the addresses that show a page; of those that show the same error, the first."""
    pages = {}
    for address, answer in answers.items():
        if answer.headers.get("Content-Type", "").startswith("text/html") and answer.content:
            kind = answer.status_code if answer.status_code >= 400 else address.path
            pages.setdefault(kind, address.path)
    return list(pages.values())


@pytest.fixture
def crawl(live_server, monkeypatch, language, size):
    """Open a browser, with a session or without one."""
    # Chromium runs an event loop in this thread; the database is not used while it is open.
    monkeypatch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    width, height = SIZES[size]
    with launched() as browser:

        def start(session="", **options):
            locale = {"ru": "ru-RU", "en": "en-GB"}[language]
            context = browser.new_context(locale=locale, viewport={"width": width, "height": height})
            if session:
                context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
            return Crawl(context, live_server.url, **options)

        yield start


@pytest.mark.parametrize(("language", "size"), [("ru", "desktop")])
def test_policy_refuses_nothing_on_any_page(pages, crawl):
    """Each address and what it links to, with all that opens there; then each action of each list."""
    staff, strangers, session = pages
    assert _problems(crawl(session), staff) == []
    assert _problems(crawl(), strangers) == []


@pytest.mark.exhaustive
@on_screens
def test_policy_refuses_nothing_on_any_page_with_a_filter(pages, crawl):
    staff, strangers, session = pages
    assert _problems(crawl(session, with_queries=True), staff) == []
    assert _problems(crawl(with_queries=True), strangers) == []


def _problems(person, addresses):
    linked, actions = {}, []
    for path in addresses:
        response = person.visit(path)
        if response is not None and response.ok:
            linked |= person.links()
            actions += [(path, name) for name in person.actions()]
    for kind, path in linked.items():
        if kind not in person.visited:
            person.visit(path)
    for path, name in actions:
        person.run_action(path, name)
    return person.problems


@pytest.mark.parametrize(("language", "size"), [("en", "phone")])
def test_what_the_browser_refuses_reaches_the_test(crawl, live_server, client, db):
    """None of our pages shows that."""
    policy = {"content-security-policy": client.get("/no/such/page/").headers["Content-Security-Policy"]}
    inline = "<p style='color: red'>x<style>p {}</style><script>1</script><a class='collapse-toggle' onclick='1'>y</a>"
    person = crawl()
    person.context.route(
        "**/inline/", lambda route: route.fulfill(body=inline, content_type="text/html", headers=policy)
    )
    person.context.route("**/bare/", lambda route: route.fulfill(body="", content_type="text/html"))
    for path in ("/inline/", "/bare/"):
        person.visit(path)
    found = " ".join(person.problems)
    for what in ("style-src-attr", "style-src-elem", "script-src-elem", "script-src-attr", "/bare/: no Content"):
        assert what in found
