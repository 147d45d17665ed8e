"""The second factor of staff: nobody passes without it where it is required, and each code works once."""

import base64
import json
import re
from datetime import timedelta

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone
from django_otp.oath import totp

from connector_project import env
from connector_project.operations.sign_in import limits, sessions
from tenants import second_factor
from tenants.models import ApiKey, AuditLogEntry, RecoveryCode, TotpDevice, User
from tests.users import create_user

pytestmark = [pytest.mark.one_database, pytest.mark.sampled(1)]

LOGIN, INDEX = "/admin/login/", "/admin/"
VERIFY, SET_UP, SECURITY = (
    "/admin/security/second-factor/",
    "/admin/security/second-factor/set-up/",
    "/admin/security/",
)
NOON = "2026-11-24T12:00:00+03:00"
Action = AuditLogEntry.Action


@pytest.fixture(autouse=True)
def _required(settings):
    settings.STAFF_SECOND_FACTOR = "required"


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def anna(db, noon):
    return create_user("anna", "Operator")


@pytest.fixture
def device(anna):
    """Anna's app, set up half an hour ago."""
    return TotpDevice.objects.create(user=anna, confirmed=True, confirmed_at=timezone.now() - timedelta(minutes=30))


def code_of(device, *, steps=0):
    """Return the code that an app shows now, or some steps later."""
    return f"{totp(base64.b32decode(device.secret), t0=-30 * steps):06d}"


def enter_password(client, **query):
    return client.post(LOGIN, {"username": "anna", "password": "x"} | query)


def enter(client, code, **data):
    return client.post(VERIFY, {"code": code} | data)


def actions():
    return list(AuditLogEntry.objects.order_by("pk").values_list("action", flat=True))


def is_signed_in(client):
    return client.get(INDEX).status_code == 200


def assert_strict(answer):
    """A strict Content-Security-Policy would refuse inline scripts and styles."""
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=", answer.content.decode())


def signed_in(device):
    client = Client()
    client.force_login(device.user)
    assert enter(client, code_of(device)).status_code == 302
    assert is_signed_in(client)
    return client


# --- no way around


def admin_urls(patterns, path="/"):
    """Yield a URL of each pattern of the admin, with invented arguments."""
    for pattern in patterns:
        route = path + re.sub(r"<(?:\w+:)?\w+>", "1", str(pattern.pattern)).removeprefix("^").rstrip("$")
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from admin_urls(pattern.url_patterns, route)


def every_admin_url():
    found = [url for url in admin_urls(get_resolver().url_patterns) if url.startswith("/admin/")]
    assert len(found) > 100
    return [re.sub(r"\(.*", "1", url) for url in found]


OPEN = {LOGIN, "/admin/logout/", VERIFY, SET_UP}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "has_device"), [("get", True), ("post", False)])
def test_session_without_second_factor_opens_no_page(client, anna, request, method, has_device):
    User.objects.filter(pk=anna.pk).update(is_superuser=True)
    if has_device:
        request.getfixturevalue("device")
    client.force_login(anna)
    before = AuditLogEntry.objects.count()
    for url in every_admin_url():
        if url not in OPEN:
            answer = getattr(client, method)(url)
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, VERIFY), url
    assert client.get(VERIFY).status_code == (200 if has_device else 302)
    assert AuditLogEntry.objects.count() == before


def test_such_a_session_is_nobody_elsewhere_too(client, anna):
    client.force_login(anna)
    assert client.get("/api/v1/calls/").status_code == 401
    answer = client.get("/")
    assert client.get(answer["Location"])["Location"].startswith(VERIFY)
    assert client.post(reverse("admin:password_change"), {"old_password": "x"}).status_code == 302
    assert client.post("/admin/tenants/apikey/add/", {"name": "mine"}).status_code == 302
    assert not ApiKey.objects.exists()
    anna.refresh_from_db()
    assert anna.check_password("x")


def test_password_alone_leads_to_enrolment_and_next_leads_nowhere_else(client, anna):
    answer = enter_password(client, next="/admin/tenants/tenant/")
    assert answer["Location"].startswith(VERIFY)
    answer = client.get(answer["Location"])
    assert answer["Location"].startswith(SET_UP)
    assert client.get(answer["Location"]).status_code == 200
    assert client.get("/admin/tenants/tenant/").status_code == 302
    assert actions() == [Action.PASSWORD_ACCEPTED]


def test_session_made_while_it_was_optional_is_stopped(client, anna, settings):
    settings.STAFF_SECOND_FACTOR = "optional"
    client.force_login(anna)
    assert is_signed_in(client)
    settings.STAFF_SECOND_FACTOR = "required"
    assert not is_signed_in(client)


def test_second_password_sign_in_asks_for_the_second_factor_again(device):
    client = signed_in(device)
    enter_password(client)
    assert not is_signed_in(client)


def test_session_without_second_factor_can_sign_out(client, anna):
    client.force_login(anna)
    assert client.post("/admin/logout/").status_code == 200
    assert client.get(VERIFY)["Location"] == LOGIN
    assert actions() == [Action.SIGNED_OUT]


def test_device_of_another_person_or_an_unconfirmed_one_verifies_nobody(client, anna, device):
    boris = create_user("boris", "Operator")
    pending = TotpDevice.objects.create(user=boris, confirmed=False)
    for one in (device, pending):
        client.force_login(boris)
        session = client.session
        session["otp_device_id"] = one.persistent_id
        session.save()
        assert not is_signed_in(client)
    assert enter(client, code_of(device))["Location"].startswith(SET_UP)
    assert not is_signed_in(client)


# --- enrolment


def test_first_sign_in_sets_up_the_app(client, anna):
    other = Client()
    other.force_login(anna)
    enter_password(client, next="/admin/tenants/tenant/")
    page = client.get(f"{SET_UP}?next=/admin/tenants/tenant/")
    device = TotpDevice.objects.get()
    html = page.content.decode()
    assert 'class="segno"' in html
    assert device.secret in html.replace(" ", "")
    assert_strict(page)
    assert "no-store" in page["Cache-Control"]
    assert client.get(SET_UP).context["secret"] == page.context["secret"]
    answer = client.post(SET_UP, {"code": code_of(device), "next": "/admin/tenants/tenant/"})
    codes = answer.context["codes"]
    assert (len(codes), 'href="/admin/tenants/tenant/"' in answer.content.decode()) == (10, True)
    assert is_signed_in(client)
    assert not is_signed_in(other)
    assert actions() == [Action.PASSWORD_ACCEPTED, Action.SECOND_FACTOR_SET, Action.SIGNED_IN]
    assert not any(code.replace("-", "") in row.digest for code in codes for row in RecoveryCode.objects.all())


def test_secret_is_encrypted_in_its_row(device):
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM tenants_totpdevice")
        stored = cursor.fetchone()[0]
    assert device.secret not in stored
    assert len(device.secret) == 32


def test_lost_encryption_key_leaves_recovery_codes_and_the_reset(client, device, settings):
    code = second_factor.renew_recovery_codes(device.user)[0]
    boris = create_user("boris", "Operator")
    boris_app = second_factor.prepare(boris)
    right = code_of(device)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    client.force_login(device.user)
    assert enter(client, right).status_code == 200
    assert enter(client, code).status_code == 302
    client.force_login(boris)
    session = client.session
    session[sessions.PENDING] = boris_app.pk
    session.save()
    assert client.post(SET_UP, {"code": "123456"}).status_code == 200


def test_secret_that_another_session_has_seen_is_not_set_up(client, anna):
    stranger = Client()  # who knows the first password, as its maker does
    for one in (stranger, client):
        one.force_login(anna)
    seen = stranger.get(SET_UP).context["secret"]
    assert client.get(SET_UP).context["secret"] != seen
    device = TotpDevice.objects.get()
    assert stranger.post(SET_UP, {"code": code_of(device)}).status_code == 200
    assert not is_signed_in(stranger)
    client.get(SET_UP)
    device = TotpDevice.objects.get()
    assert client.post(SET_UP, {"code": code_of(device)}).context["codes"]
    assert (is_signed_in(client), TotpDevice.objects.get()) == (True, device)


def test_each_sign_in_sets_up_a_new_secret(client, anna):
    enter_password(client)
    secrets = {client.get(SET_UP).context["secret"] for _time in range(2)}
    enter_password(client)
    assert len(secrets | {client.get(SET_UP).context["secret"]}) == 2


def test_password_alone_cannot_replace_the_app(client, device):
    enter_password(client)
    pending = second_factor.prepare(device.user)
    session = client.session
    session[sessions.PENDING] = pending.pk
    session.save()
    assert client.get(SET_UP)["Location"].startswith(VERIFY)
    assert client.post(SET_UP, {"code": code_of(pending)})["Location"].startswith(VERIFY)
    now = timezone.now()
    refused = second_factor.confirm(device.user, code_of(pending), known=pending.pk, may_replace=False, now=now)
    assert refused == second_factor.Wrong()
    assert second_factor.find_device(device.user) == device


def test_app_is_replaced_after_a_fresh_code_only(device, noon):
    client = signed_in(device)
    noon.shift(timedelta(minutes=11))
    assert client.get(SET_UP)["Location"].startswith(VERIFY)
    assert client.post(reverse("admin:recovery_codes"))["Location"].startswith(VERIFY)
    assert enter(client, code_of(device), next=SET_UP)["Location"] == SET_UP
    client.get(SET_UP)
    pending = TotpDevice.objects.get(confirmed=False)
    assert client.post(SET_UP, {"code": code_of(pending)}).context["codes"]
    assert second_factor.find_device(device.user) == pending
    assert is_signed_in(client)
    assert TotpDevice.objects.count() == 1


def test_pages_of_ones_own_security(device, settings):
    client = signed_in(device)
    assert client.get(SECURITY).context["device"] == device
    answer = client.post(reverse("admin:recovery_codes"))
    assert (len(answer.context["codes"]), RecoveryCode.objects.count()) == (10, 10)
    for page in (answer, client.get(SECURITY), client.get(f"{VERIFY}?next={SET_UP}"), Client().get(LOGIN)):
        assert_strict(page)
    assert actions()[-1] == Action.RECOVERY_CODES_RENEWED
    settings.STAFF_SECOND_FACTOR = "optional"
    device.delete()
    plain = Client()
    plain.force_login(device.user)
    assert plain.get(SECURITY).context["device"] is None
    assert plain.post(reverse("admin:recovery_codes"))["Location"] == SET_UP


# --- codes


def test_code_of_the_app_signs_in_once(client, device):
    enter_password(client, next="/admin/tenants/tenant/")
    code = code_of(device)
    assert (
        enter(client, f" {code[:3]} {code[3:]} ", next="/admin/tenants/tenant/")["Location"] == "/admin/tenants/tenant/"
    )
    assert is_signed_in(client)
    assert actions() == [Action.PASSWORD_ACCEPTED, Action.SIGNED_IN]
    another = Client()
    another.force_login(device.user)
    assert enter(another, code).status_code == 200
    assert not is_signed_in(another)


@pytest.mark.parametrize(("steps", "is_accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clock_of_a_phone_may_be_half_a_minute_off(client, device, steps, is_accepted):
    client.force_login(device.user)
    enter(client, code_of(device, steps=steps))
    assert is_signed_in(client) is is_accepted


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_second_factor_leads_to_our_pages_only(client, device, next_page):
    client.force_login(device.user)
    assert enter(client, code_of(device), next=next_page)["Location"] == INDEX


def test_recovery_code_signs_in_once(client, device):
    code = second_factor.renew_recovery_codes(device.user)[0]
    client.force_login(device.user)
    assert enter(client, code.upper()).status_code == 302
    assert is_signed_in(client)
    another = Client()
    another.force_login(device.user)
    assert enter(another, code).status_code == 200
    assert actions()[:2] == [Action.RECOVERY_CODE_USED, Action.SIGNED_IN]
    assert RecoveryCode.objects.count() == 9


def test_recovery_code_of_another_person_is_wrong(client, device):
    boris = create_user("boris", "Operator")
    TotpDevice.objects.create(user=boris)
    client.force_login(device.user)
    enter(client, second_factor.renew_recovery_codes(boris)[0])
    assert not is_signed_in(client)


def test_guesses_pause_and_then_lock_out(client, device, noon):
    client.force_login(device.user)
    assert enter(client, "000000").status_code == 200
    assert enter(client, code_of(device)).status_code == 200  # The pause holds for the right code too, …
    assert actions() == [Action.SIGN_IN_FAILED]  # … which is no failure.
    for _ in range(limits.PER_NAME_AND_ADDRESS - 1):
        noon.shift(timedelta(minutes=2))
        answer = enter(client, "000000")
    assert answer.status_code == 429
    noon.shift(timedelta(minutes=2))
    assert enter(client, code_of(device)).status_code == 429
    assert not is_signed_in(client)
    assert enter_password(Client()).status_code == 429  # Nor does the password count anew.
    elsewhere = Client(REMOTE_ADDR="198.51.100.7")
    elsewhere.force_login(device.user)
    assert enter(elsewhere, code_of(device)).status_code == 302


def test_password_does_not_forget_wrong_codes(device, noon):
    for _ in range(limits.PER_NAME_AND_ADDRESS):
        noon.shift(timedelta(minutes=2))
        client = Client()
        enter_password(client)
        answer = enter(client, "000000")
    assert answer.status_code == 429


def test_pause_between_guesses_stays_short(device, noon):
    for _ in range(40):
        noon.shift(timedelta(seconds=65))
        assert second_factor.verify(device.user, "000000", now=timezone.now()) == second_factor.Wrong()
    assert second_factor.verify(device.user, "0", now=timezone.now()) == second_factor.Paused(64)
    noon.shift(timedelta(seconds=65))
    assert isinstance(second_factor.verify(device.user, code_of(device), now=timezone.now()), second_factor.Verified)


@pytest.mark.parametrize(
    "code", ["", "\x01", "²" * 6, "１２３４５６", "x" * 41, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_odd_codes_answer_the_form(client, device, code):
    client.force_login(device.user)
    assert enter(client, code).status_code == 200


# --- optional


def test_optional_factor_is_asked_of_those_who_have_one(client, device, settings):
    settings.STAFF_SECOND_FACTOR = "optional"
    enter_password(client)
    assert not is_signed_in(client)
    enter(client, code_of(device))
    assert is_signed_in(client)
    boris = Client()
    create_user("boris", "Operator")
    boris.post(LOGIN, {"username": "boris", "password": "x"})
    assert is_signed_in(boris)


@pytest.mark.parametrize(
    ("value", "is_debug", "expected"),
    [("", False, "required"), ("", True, "optional"), ("optional", False, "optional"), ("required", True, "required")],
)
def test_setting(monkeypatch, value, is_debug, expected):
    monkeypatch.setenv("STAFF_SECOND_FACTOR", value)
    assert env.staff_second_factor("STAFF_SECOND_FACTOR", is_debug=is_debug) == expected


def test_impossible_setting_names_the_variable(monkeypatch):
    monkeypatch.setenv("STAFF_SECOND_FACTOR", "never")
    with pytest.raises(ImproperlyConfigured, match="STAFF_SECOND_FACTOR"):
        env.staff_second_factor("STAFF_SECOND_FACTOR", is_debug=False)


# --- the command


def test_command_resets_and_ends_the_sessions(device, capsys):
    client = signed_in(device)
    call_command("reset_second_factor", "anna")
    assert json.loads(capsys.readouterr().out) == {"user": "anna", "had_second_factor": True}
    assert not is_signed_in(client)
    assert second_factor.find_device(device.user) is None
    assert actions()[-1] == Action.SECOND_FACTOR_RESET
    with pytest.raises(CommandError) as refused:
        call_command("reset_second_factor", "nobody")
    assert refused.value.returncode == 2
