"""The settings tests run with: the product's own, in an environment that is the same everywhere."""

import os

os.environ |= {
    "DEBUG": "false",
    "SECRET_KEY": "only-for-tests",
    "FIELD_ENCRYPTION_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
    "PUBLIC_URL": "https://connector.example.com",
    "ALLOWED_HOSTS": "connector.example.com,testserver,localhost",
    "LOG_LEVEL": "WARNING",
    # Most tests sign in by `force_login`; those of signing in itself say otherwise.
    "STAFF_SECOND_FACTOR": "optional",
}
for _name in (
    "UIS_DATA_API_URL",
    "UIS_CALL_API_URL",
    "UIS_MEDIA_URL",
    "RECORDING_STREAMS",
    "RETENTION_PAYLOAD_DAYS",
    "RETENTION_CALLS_DAYS",
    "RETENTION_LOGS_DAYS",
    "TRUSTED_REMOTE_HOSTS",
    "SENTRY_DSN",
    "METRICS_TOKEN",
    "TRUSTED_PROXIES",
    "OUTBOUND_ADDRESSES",
    "RETAILCRM_MODULE_SECRET",
    "EMAIL_URL",
    "DEFAULT_FROM_EMAIL",
    "ALARM_EMAILS",
    "ALARM_LANGUAGE",
    "ALARM_WEBHOOK_URL",
    "ALARM_WEBHOOK_SECRET",
):
    os.environ.pop(_name, None)
os.environ.setdefault("DATABASE_URL", "sqlite:///:memory:")

from connector_project.settings import *  # noqa: E402, F403 -- the environment comes first
from connector_project.settings import DATABASES  # noqa: E402

SECURE_SSL_REDIRECT = False
# Tests let days pass.
SESSION_COOKIE_AGE = STAFF_IDLE_SECONDS = 14 * 24 * 60 * 60
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Each test creates a client, whose middleware would otherwise scan all static files.
WHITENOISE_AUTOREFRESH = True
if DATABASES["default"]["NAME"] == ":memory:":
    # pytest-django knows only Django's own backend: the tests' database of each process stays in memory by this.
    DATABASES["default"]["TEST"] = {"NAME": ":memory:"}
