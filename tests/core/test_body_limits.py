"""No body is read beyond its limit, and no file is ever written, whatever the address."""

import re

import pytest
from django.core.files import uploadedfile
from django.test import Client

from connector_project.core import body_limits
from connector_project.core.body_limits import LARGEST_BODY, LARGEST_STAFF_BODY
from tests.addresses import templates

pytestmark = pytest.mark.django_db

BOUNDARY = "x" * 20
COUNTED_BY_VIEWS = "/hooks/"


def addresses():
    return [re.sub(r"\{\w+\}", "1", template) for template in templates()]


def upload(size):
    """Return a form with one file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
    return head.encode() + b"x" * size + f"\r\n--{BOUNDARY}--\r\n".encode()


class Unreadable:
    """A body that must not be read."""

    def __init__(self):
        self.was_read = False

    def read(self, *_args):
        self.was_read = True
        return b""

    readline = read


@pytest.fixture
def stranger(settings):
    client = Client(enforce_csrf_checks=True)
    client.cookies[settings.CSRF_COOKIE_NAME] = "a" * 32  # With any cookie Django reads the form, to find the token.
    return client


@pytest.fixture
def written(monkeypatch):
    """The temporary files that were made."""
    files, init = [], uploadedfile.TemporaryUploadedFile.__init__

    def record(self, *args, **more):
        files.append(args)
        init(self, *args, **more)

    monkeypatch.setattr(uploadedfile.TemporaryUploadedFile, "__init__", record)
    return files


def send(client, path, body, **headers):
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return client.generic("POST", path, body, content_type=kind, headers=headers)


def test_walk_finds_the_addresses():
    found = addresses()
    assert {"/hooks/uis/1/", "/admin/login/", "/connect/retailcrm/register/", "/activate/1/", "/language/"} <= {*found}
    assert len(found) > 100


@pytest.mark.slow
def test_body_over_the_limit_is_rejected_unread_at_every_address(stranger, written):
    read = []
    for path in addresses():
        body = Unreadable()
        answer = stranger.generic(
            "POST",
            path,
            content_type=f"multipart/form-data; boundary={BOUNDARY}",
            CONTENT_LENGTH="300000000",
            **{"wsgi.input": body},
        )
        expected = {404, 405, 413} if path.startswith(COUNTED_BY_VIEWS) else {413}
        assert (path, answer.status_code) in {(path, status) for status in expected}
        read += [path] * body.was_read
    assert (read, written) == ([], [])


@pytest.mark.slow
def test_body_without_a_length_is_rejected_unread_at_every_address_of_people(stranger):
    for path in addresses():
        if not path.startswith(COUNTED_BY_VIEWS):
            body = Unreadable()
            answer = stranger.generic("POST", path, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input": body})
            assert (path, answer.status_code, body.was_read) == (path, 411, False)


@pytest.mark.slow
def test_no_upload_is_written_at_any_address(stranger, written, settings):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0  # Django would write every file.
    for path in addresses():
        assert send(stranger, path, upload(1000)).status_code != 413
    assert written == []


def test_staff_form_within_the_limit_is_read_and_its_file_is_dropped(admin_client, written, settings):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    admin_client.handler.enforce_csrf_checks = False
    body = upload(LARGEST_STAFF_BODY - 1000)
    assert send(admin_client, "/admin/tenants/tenant/add/", body).status_code == 200
    assert send(admin_client, "/admin/tenants/tenant/add/", upload(LARGEST_STAFF_BODY)).status_code == 413
    assert written == []


@pytest.mark.parametrize("language", ["en", "ru"])
def test_rejection_says_what_to_do_in_the_persons_language(stranger, language):
    headers = {"accept-language": language}
    answers = [
        send(stranger, "/admin/login/", upload(LARGEST_BODY), **headers),
        send(stranger, "/language/", b"", **headers, transfer_encoding="chunked"),
    ]
    assert [answer.status_code for answer in answers] == [413, 411]
    assert all(f'lang="{language}"' in answer.content.decode() for answer in answers)


@pytest.mark.parametrize(
    ("target", "limit"),
    [
        ("/hooks/uis/a/?b=/admin/", LARGEST_BODY),
        ("/admin/login/?next=/admin/", LARGEST_BODY),
        ("/admin/telephony/call/?a=1", LARGEST_STAFF_BODY),
        ("/%61dmin/telephony/call/", LARGEST_STAFF_BODY),
        ("http://connector.example.com/admin/", LARGEST_BODY),
        ("", LARGEST_BODY),
    ],
)
def test_limit_goes_by_the_path_of_the_target(target, limit):
    assert body_limits.largest_body_of_target(target) == limit
