"""Every page of the product in Chromium: the Content-Security-Policy refuses nothing that our pages contain."""

import pytest

from tests import filled_addresses as addresses
from tests.browser.chromium import SIZES, on_screens
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
def crawl(live_server, browser, language, size):
    """Open a window, with a session or without one."""
    width, height = SIZES[size]
    contexts = []

    def start(session="", **options):
        locale = {"ru": "ru-RU", "en": "en-GB"}[language]
        contexts.append(browser.new_context(locale=locale, viewport={"width": width, "height": height}))
        if session:
            contexts[-1].add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        return Crawl(contexts[-1], live_server.url, **options)

    yield start
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("language", "size"), [("ru", "desktop")])
def test_policy_refuses_nothing_on_any_kind_of_page(pages, crawl):
    """A page of each address and kind of link, with all that opens there; then each action once."""
    staff, strangers, session = pages
    person = crawl(session, is_short=True)
    assert person.crawl(staff) == []
    assert {person.kind_of(path) for path in staff} <= person.visited
    assert crawl(is_short=True).crawl(strangers) == []


@pytest.mark.exhaustive
@on_screens
def test_policy_refuses_nothing_on_any_page_with_a_filter(pages, crawl):
    """Each address, each kind of link with each filter, with all that opens there; then each action of each list."""
    staff, strangers, session = pages
    assert crawl(session, with_queries=True).crawl(staff) == []
    assert crawl(with_queries=True).crawl(strangers) == []


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
