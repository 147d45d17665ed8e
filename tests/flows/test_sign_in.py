"""Staff sign in: limits, the lockout, what is logged, and how long a session lasts."""

import threading
from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
import time_machine
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connector_project import settings as shipped
from connector_project.core import password_hashing
from connector_project.operations import schedules, tasks
from connector_project.operations.sign_in import limits
from tenants import staff_accounts
from tenants.models import AuditLogEntry, User
from tests.users import create_user

LOGIN, INDEX = "/admin/login/", "/admin/"
HOME, AWAY = "203.0.113.5", "198.51.100.7"
Action = AuditLogEntry.Action


@pytest.fixture
def anna(db):
    return create_user("anna", "Operator")


@pytest.fixture
def real_sessions(settings):
    """The lifetimes that the product has; other tests let days pass."""
    settings.SESSION_COOKIE_AGE, settings.STAFF_IDLE_SECONDS = shipped.SESSION_COOKIE_AGE, shipped.STAFF_IDLE_SECONDS
    assert (shipped.SESSION_COOKIE_AGE, shipped.STAFF_IDLE_SECONDS) == (12 * 3600, 30 * 60)


@pytest.fixture
def hashings(monkeypatch):
    """Count how often a password is hashed or compared."""
    done, real = [], MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda self, *args: done.append(args) or real(self, *args))
    return done


def sign_in(name="anna", password="x", *, address=HOME, client=None, **query):
    client = client or Client()
    return client.post(LOGIN, {"username": name, "password": password} | query, REMOTE_ADDR=address)


def entries(*actions):
    found = AuditLogEntry.objects.order_by("pk")
    return [(entry.action, entry.object_repr, entry.new) for entry in found if not actions or entry.action in actions]


def is_signed_in(client):
    return client.get(INDEX).status_code == 200


def test_sign_in_and_out_are_recorded(client, anna, caplog):
    caplog.set_level("INFO", "connector.security")
    answer = sign_in(client=client)
    assert (answer.status_code, answer["Location"]) == (302, INDEX)
    assert client.post(reverse("admin:logout"), REMOTE_ADDR=HOME).status_code == 200
    assert entries() == [(Action.SIGNED_IN, "user anna", HOME), (Action.SIGNED_OUT, "user anna", HOME)]
    assert [record.msg["event"] for record in caplog.records if record.name == "connector.security"] == [
        "signed_in",
        "signed_out",
    ]
    assert not is_signed_in(client)


def test_audit_log_shows_sign_ins(admin_client, anna):
    sign_in(password="wrong")
    page = admin_client.get(reverse("admin:tenants_auditlogentry_changelist"), headers={"accept-language": "en"})
    assert all(text in page.content.decode() for text in ("sign-in failed", "anna", "network address", HOME))


def test_wrong_password_is_recorded_without_a_name_that_nobody_has(anna, caplog):
    sign_in(password="wrong")
    sign_in("my-Secret-1")
    assert entries() == [(Action.SIGN_IN_FAILED, "user anna", HOME), (Action.SIGN_IN_FAILED, "user", HOME)]
    assert "my-Secret-1" not in caplog.text


def test_name_is_locked_out_at_its_address_before_the_password_is_hashed(anna, hashings):
    answers = [sign_in(password="wrong") for _ in range(limits.PER_NAME_AND_ADDRESS)]
    assert [answer.status_code for answer in answers] == [200] * (limits.PER_NAME_AND_ADDRESS - 1) + [429]
    count = len(hashings)
    assert sign_in().status_code == 429
    assert len(hashings) == count
    assert entries(Action.LOCKED_OUT) == [(Action.LOCKED_OUT, "user anna", HOME)]
    assert sign_in(address=AWAY).status_code == 302  # A stranger locks nobody out who is elsewhere.
    create_user("boris", "Support")
    assert sign_in("boris").status_code == 302


@pytest.mark.parametrize(("language", "text"), [("en", "Too many failed"), ("ru", "Слишком много")])
def test_lockout_page_is_in_the_persons_language(anna, language, text):
    for _ in range(limits.PER_NAME_AND_ADDRESS):
        answer = Client(headers={"accept-language": language}).post(LOGIN, {"username": "anna", "password": "no"})
    assert (answer.status_code, answer["Retry-After"], text in answer.content.decode()) == (429, "900", True)


def test_lockout_ends_and_attempts_during_it_do_not_prolong_it(anna):
    for _ in range(limits.PER_NAME_AND_ADDRESS):
        sign_in(password="wrong")
    with time_machine.travel(timezone.now() + timedelta(minutes=14)):
        assert sign_in(password="wrong").status_code == 429
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert sign_in().status_code == 302


def test_address_is_locked_out_whatever_the_names(anna):
    for number in range(limits.PER_ADDRESS):
        sign_in(f"nobody-{number}", "wrong")
    assert sign_in().status_code == 429
    assert sign_in(address=AWAY).status_code == 302
    assert len(entries(Action.LOCKED_OUT)) == 1


def test_success_forgets_the_failures_of_that_name_only(anna):
    create_user("boris", "Support")
    for _ in range(limits.PER_NAME_AND_ADDRESS - 1):
        sign_in(password="wrong")
        sign_in("boris", "wrong")
    sign_in()
    assert sign_in(password="wrong").status_code == 200
    assert sign_in("boris", "wrong").status_code == 429


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),  # all addresses of one subscriber
        ("::ffff:203.0.113.5", HOME),
        (HOME, HOME),
        ("", None),
        ("unknown", None),
    ],
)
def test_address_that_failures_are_counted_for(rf, anna, address, counted):
    assert limits.locking_address(rf.get("/", REMOTE_ADDR=address)) == counted
    assert sign_in(password="wrong", address=address).status_code == 200


def test_two_first_failures_at_once_without_an_address(anna):
    attempts = apps.get_model("axes.AccessAttempt").objects
    for _ in range(2):  # As two requests of one moment leave them behind a unix socket.
        attempts.create(username="anna", ip_address=None, user_agent="", failures_since_start=1)
    assert sign_in(password="wrong", address="").status_code == 200
    assert sign_in(password="wrong", address="").status_code == 429


@pytest.mark.parametrize("typed", ["", "x" * 5000, "\ud800".encode("utf-8", "surrogatepass"), "²"])
def test_odd_names_answer_the_form(anna, typed):
    assert sign_in(typed, address=AWAY).status_code == 200


def test_account_without_access_answers_as_a_wrong_password_does(db):
    User.objects.create_user("guest", password="x")
    User.objects.create_user("gone", password="x", is_staff=True, is_active=False)
    assert (sign_in("guest").status_code, sign_in("gone").status_code) == (200, 200)
    assert [action for action, _target, _address in entries()] == [Action.SIGN_IN_FAILED] * 2


def test_attempts_are_kept_without_what_was_sent_and_deleted_daily(anna):
    sign_in(password="wrong-password", other="secret")
    attempt = apps.get_model("axes.AccessAttempt").objects.get()
    assert (attempt.get_data, attempt.post_data, attempt.username) == ("", "", "anna")
    tasks.delete_sign_in_attempts()
    assert type(attempt).objects.exists()
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        tasks.delete_sign_in_attempts()
    assert not type(attempt).objects.exists()
    assert schedules.SCHEDULES["connector_project.operations.tasks.delete_sign_in_attempts"] == 1440


def test_no_page_of_a_library_edits_attempts_or_devices():
    labels = {model._meta.app_label for model in admin.site._registry}
    assert not labels & {"axes", "django_otp"}


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "/admin/tenants/tenant/", ""])
def test_next_leads_to_our_pages_only(anna, where):
    answer = sign_in(next=where)
    assert answer["Location"] == (where if where.startswith("/admin") else INDEX)


# --- hashing


def test_third_hashing_waits_and_the_next_is_refused_at_once(client, anna, monkeypatch, settings):
    settings.PASSWORD_HASHERS = ["connector_project.core.password_hashing.LimitedPBKDF2PasswordHasher"]
    monkeypatch.setattr(password_hashing, "WAIT_SECONDS", 0.01)
    with password_hashing.turn(), password_hashing.turn():
        answer = sign_in("nobody", client=client)
        with password_hashing._places:
            at_once = sign_in("nobody", client=client)
    for refused in (answer, at_once):
        assert (refused.status_code, refused["Retry-After"]) == (429, "5")
        assert "<h1>" in refused.content.decode()
    monkeypatch.setattr(password_hashing.LimitedPBKDF2PasswordHasher, "iterations", 1)
    assert sign_in("nobody", client=client).status_code == 200
    assert entries() == [(Action.SIGN_IN_FAILED, "user", HOME)]  # A refusal is nobody's failure.


def test_waiting_hashing_gets_the_turn_of_another():
    is_free, results = threading.Event(), []

    def hold():
        with password_hashing.turn():
            is_free.wait(5)

    def wait():
        with password_hashing.turn():
            results.append("waited")

    holders = [threading.Thread(target=hold) for _ in range(password_hashing.AT_ONCE)]
    for thread in holders:
        thread.start()
    while password_hashing._turns._value:
        pass
    waiting = threading.Thread(target=wait)
    waiting.start()
    while password_hashing._places._value:
        pass
    with pytest.raises(password_hashing.HashingBusy), password_hashing.turn():
        pass
    is_free.set()
    for thread in (*holders, waiting):
        thread.join()
    assert results == ["waited"]
    assert (password_hashing._turns._value, password_hashing._places._value) == (2, 3)


def test_shipped_hasher_is_the_limited_one():
    assert shipped.PASSWORD_HASHERS == ["connector_project.core.password_hashing.LimitedPBKDF2PasswordHasher"]


# --- passwords and cookies


@pytest.mark.parametrize("password", ["20261128", "vhodvhod", "202611282026", "password1234", "anna.petrova"])
def test_weak_password_is_refused(password):
    with pytest.raises(ValidationError):
        password_validation.validate_password(password, User(username="anna.petrova"))


def test_long_password_is_accepted():
    password_validation.validate_password("ladder moon 17", User(username="anna"))


def test_cookies_are_for_this_host_and_not_for_scripts(client, anna):
    client.get(LOGIN)
    sign_in(client=client)
    cookies: SimpleCookie = client.cookies
    assert set(cookies) == {"__Host-sessionid", "__Host-csrftoken"}
    for cookie in cookies.values():
        assert (cookie["httponly"], cookie["secure"], cookie["path"], cookie["domain"]) == (True, True, "/", "")


# --- how long a session lasts


def at(client, minutes, **headers):
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
        return client.get(INDEX, headers=headers).status_code


@pytest.mark.usefixtures("real_sessions")
def test_idle_session_ends_after_30_minutes(client, anna):
    sign_in(client=client)
    assert (at(client, 29), at(client, 58), at(client, 89)) == (200, 200, 302)
    assert at(client, 59) == 302  # It does not come back.
    assert entries(Action.SIGNED_OUT)


@pytest.mark.usefixtures("real_sessions")
def test_polling_is_no_activity(client, anna):
    sign_in(client=client)
    assert at(client, 29, **{"X-Background": "true"}) == 200
    assert at(client, 31, **{"X-Background": "true"}) == 302


@pytest.mark.usefixtures("real_sessions")
def test_session_ends_after_12_hours_of_activity(client, anna):
    sign_in(client=client)
    assert {at(client, 29 * step) for step in range(1, 25)} == {200}
    assert at(client, 12 * 60 + 1) == 302


def test_session_without_its_times_is_over(client, anna):
    sign_in(client=client)
    session = client.session
    del session["signed_in_at"]
    session.save()
    assert not is_signed_in(client)


def test_machines_get_no_answer_that_varies_by_cookie(client, db):
    assert "Cookie" not in client.get("/health/live/").headers.get("Vary", "")


def other_session(user):
    client = Client()
    client.force_login(user)
    assert is_signed_in(client)
    return client


def test_sign_out_everywhere_ends_all_own_sessions(client, anna):
    boris = create_user("boris", "Operator")
    client.force_login(anna)
    another, of_boris = other_session(anna), other_session(boris)
    assert client.get(reverse("admin:sign_out_everywhere")).status_code == 405
    assert client.post(reverse("admin:sign_out_everywhere")).status_code == 302
    assert (is_signed_in(client), is_signed_in(another), is_signed_in(of_boris)) == (False, False, True)
    assert [action for action, _t, _a in entries()] == [Action.SESSIONS_ENDED]


def test_new_password_ends_the_other_sessions(client, anna):
    client.force_login(anna)
    another = other_session(anna)
    new = {"old_password": "x", "new_password1": "ladder moon 17", "new_password2": "ladder moon 17"}
    assert client.post(reverse("admin:password_change"), new).status_code == 302
    assert (is_signed_in(client), is_signed_in(another)) == (True, False)
    assert [action for action, _t, _a in entries()] == [Action.PASSWORD_CHANGED]


def test_guesses_of_ones_own_password_lock_out(client, anna, hashings):
    client.force_login(anna)
    new = {"new_password1": "ladder moon 17", "new_password2": "ladder moon 17"}
    page = reverse("admin:password_change")
    guesses = [client.post(page, new | {"old_password": "no"}, REMOTE_ADDR=HOME) for _ in range(5)]
    assert [answer.status_code for answer in guesses] == [200] * 4 + [429]
    count = len(hashings)
    assert client.post(page, new | {"old_password": "x"}, REMOTE_ADDR=HOME).status_code == 429
    assert (len(hashings), sign_in().status_code) == (count, 429)
    assert [action for action, _t, _a in entries()] == [Action.SIGN_IN_FAILED] * 5 + [Action.LOCKED_OUT]
    assert is_signed_in(client)  # The session goes on.


def test_invalid_new_password_is_no_failure(client, anna):
    client.force_login(anna)
    new = {"old_password": "x", "new_password1": "short", "new_password2": "short"}
    assert [client.post(reverse("admin:password_change"), new).status_code for _ in range(6)] == [200] * 6
    assert entries() == []


def test_session_of_a_deactivated_account_does_not_come_back(client, anna):
    client.force_login(anna)
    staff_accounts.end_sessions(anna)
    assert not is_signed_in(client)


def test_session_outlives_a_new_secret_key_with_the_old_one_as_fallback(client, anna, settings):
    client.force_login(anna)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-key"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert is_signed_in(client)
    settings.SECRET_KEY_FALLBACKS = []
    assert is_signed_in(client)  # It was upgraded to the new key.
