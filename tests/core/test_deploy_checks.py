"""`check --deploy` names each setting that is not for production."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from connector_project.checks import check_production

PRODUCTION = {
    "PUBLIC_URL": "https://connector.example.com",
    "ALLOWED_HOSTS": ["connector.example.com"],
    "CSRF_TRUSTED_ORIGINS": ["https://connector.example.com"],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
    "TRUSTED_PROXIES": ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"],
    "TRUSTED_REMOTE_HOSTS": [],
    "METRICS_TOKEN": "",
}

# The checks read the settings; nothing connects to this database.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")


@pytest.fixture
def found(settings):
    def run(**changed):
        for name, value in (PRODUCTION | changed).items():
            setattr(settings, name, value)
        return [message.id.removeprefix("connector.") for message in check_production(None)]

    return run


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"TRUSTED_PROXIES": []}, ["W003"]),
        ({"TRUSTED_PROXIES": ["0.0.0.0/0"]}, ["E003"]),
        ({"TRUSTED_PROXIES": ["127.0.0.1/32", "::/0"]}, ["E003"]),
        ({"ALLOWED_HOSTS": ["*"]}, ["E002"]),
        ({"CSRF_TRUSTED_ORIGINS": ["http://connector.example.com"]}, ["E004"]),
        ({"PUBLIC_URL": "http://connector.example.com"}, ["E001"]),
        ({"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}}, ["W001"]),
        ({"TRUSTED_REMOTE_HOSTS": ["127.0.0.1:8001"]}, ["W002"]),
        ({"METRICS_TOKEN": "short"}, ["W004"]),
        ({"METRICS_TOKEN": "x" * 20}, []),
    ],
)
def test_each_setting_that_is_not_for_production_is_named(found, changed, expected):
    assert found(**changed) == expected


def test_command_says_what_to_do_about_a_missing_proxy(found, settings):
    found(TRUSTED_PROXIES=[])
    with pytest.raises(SystemCheckError, match="TRUSTED_PROXIES") as raised:
        call_command("check", deploy=True, fail_level="WARNING", tags=["security"])
    assert "deploy/nginx.conf" in str(raised.value)
