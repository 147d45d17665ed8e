"""Django settings; values that vary come from environment variables, listed in .env.example."""

from datetime import timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from connector_project import env
from connector_project.core.body_limits import LARGEST_STAFF_BODY
from connector_project.core.logging import log_uncaught_exceptions, logging_config
from connector_project.core.redaction import sentry_before_send
from connector_project.env import BASE_DIR

django_stubs_ext.monkeypatch()

DEBUG = env.boolean("DEBUG")
SECRET_KEY = env.secret(
    "SECRET_KEY", is_debug=DEBUG, debug_default="only-for-debug-not-a-secret-at-all-0123456789abcdef"
)
FIELD_ENCRYPTION_KEYS = env.fernet_keys(
    "FIELD_ENCRYPTION_KEYS", is_debug=DEBUG, debug_default="b25seS1mb3ItZGVidWctbm90LWEtc2VjcmV0LTAwMDA="
)

PUBLIC_URL = env.base_url("PUBLIC_URL", default="http://127.0.0.1:8000")
_public = urlsplit(PUBLIC_URL)
ALLOWED_HOSTS = env.str_list("ALLOWED_HOSTS", default=(_public.hostname or "",))
CSRF_TRUSTED_ORIGINS = env.str_list("CSRF_TRUSTED_ORIGINS", default=(f"{_public.scheme}://{_public.netloc}",))
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")

# URLs of the vendors. Overrides are for the simulator and tests; hosts listed here may be plain http and private.
UIS_DATA_API_URL = env.base_url("UIS_DATA_API_URL", default="")
UIS_CALL_API_URL = env.base_url("UIS_CALL_API_URL", default="")
UIS_MEDIA_URL = env.base_url("UIS_MEDIA_URL", default="")
# Our outgoing addresses: clients must allow them in UIS.
OUTBOUND_ADDRESSES = env.outbound_addresses("OUTBOUND_ADDRESSES")
TRUSTED_REMOTE_HOSTS = env.host_ports("TRUSTED_REMOTE_HOSTS")
CRM_DOMAINS = env.str_list(
    "CRM_DOMAINS",
    default=("retailcrm.ru", "retailcrm.pro", "retailcrm.es", "retailcrm.io", "simla.com", "simla.io", "ecomlogic.com"),
)
RETAILCRM_MODULE_SECRET = env.text("RETAILCRM_MODULE_SECRET")
RETAILCRM_MODULE_CODE = env.text("RETAILCRM_MODULE_CODE", default="uis")

# How long rows are kept, in days: raw bodies of notifications; calls; the audit and access log (tenants.retention).
RETENTION_PAYLOAD_DAYS = env.number("RETENTION_PAYLOAD_DAYS", default=30)
RETENTION_CALLS_DAYS = env.number("RETENTION_CALLS_DAYS", default=365)
RETENTION_LOGS_DAYS = env.number("RETENTION_LOGS_DAYS", default=1095)

INSTALLED_APPS = [
    "connector_project.apps.ConnectorConfig",
    "connector_project.core",
    "tenants",
    "telephony",
    "crm",
    "connector_project.operations",
    "axes",
    "django_otp",
    "django_q",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "connector_project.apps.ConnectorAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

if DEBUG and find_spec("tests.devtools") is not None:
    # `demo` and `simulator`, in a checkout; a release does not contain them.
    INSTALLED_APPS += ["tests.devtools"]

MIDDLEWARE = [
    "connector_project.core.middleware.LogContext",
    "connector_project.core.middleware.TrustedProxies",
    "connector_project.core.page_policy.PagePolicy",
    "connector_project.core.request_checks.RequestChecks",
    "django.middleware.security.SecurityMiddleware",
    "connector_project.core.program_addresses.ProgramAddresses",  # what stands behind it is for pages
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "connector_project.core.middleware.BodyLimits",  # before anything that reads a body
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "connector_project.operations.sign_in.middleware.StaffSessions",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "connector_project.core.middleware.TransactionConflicts",
    "connector_project.core.middleware.BusyPasswordHashing",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "connector_project.urls"
WSGI_APPLICATION = "connector_project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    database = env.database("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["ENGINE"] = "connector_project.core.sqlite_backend"  # whose writers take turns
        # IMMEDIATE: a writer waits for the lock at BEGIN instead of failing in the middle of a transaction.
        database["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            # NORMAL survives a killed process; a power failure may lose the last transactions, and reconciliation
            # finds their calls. If that is not acceptable, use PostgreSQL.
            # Threads move the log into the database every second (core.sqlite_log); else the writer whose commit
            # reaches so many pages does it, while all others wait.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000; "
                "PRAGMA wal_autocheckpoint=10000;"
            ),
        }
    # Without persistent connections receiving webhooks is nine times slower.
    return database | {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "ATOMIC_REQUESTS": False}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL")
if REDIS_URL and urlsplit(REDIS_URL).scheme not in {"redis", "rediss", "unix"}:
    raise ImproperlyConfigured("REDIS_URL must be like redis://host:6379/0.")

_broker: dict[str, Any] = {"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}
Q_CLUSTER: dict[str, Any] = {
    "name": "default",
    "workers": env.number("QUEUE_WORKERS", default=4),
    "timeout": 120,
    "retry": 180,
    # The queue does not retry failed tasks: the row says when to retry, and the sweep enqueues it.
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "catch_up": False,
    # Tasks after which a worker is replaced: each new one builds its statements anew, and is slow at its first pop-ups.
    "recycle": 10_000,
    # Kilobytes: so is one that a large file has swollen; usually it takes 100 MB.
    "max_rss": 400_000,
    "label": _("Queue"),
    "broker_class": "connector_project.core.task_queue.create_broker",
    # Entries that a cluster takes ahead of its workers wait for them, while another cluster may be idle.
    "queue_limit": env.number("QUEUE_WORKERS", default=4),
    "ALT_CLUSTERS": {
        # Tasks a person waits for. It runs only the schedule that names this cluster.
        "fast": {"workers": env.number("QUEUE_WORKERS", default=4), "timeout": 30, "retry": 60, "poll": 0.05}
    },
    **_broker,
}

# Recordings streamed at once per web process; each occupies one thread.
RECORDING_STREAMS = env.number("RECORDING_STREAMS", default=4)

# Rows that one bulk action may change: of an operator, and of everybody else, such as Support.
BULK_ACTION_ROWS = 100_000
BULK_ACTION_ROWS_SUPPORT = 1_000

LANGUAGE_CODE = "ru"
LANGUAGES = [("ru", _("Russian")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "connector_project" / "static"]
# Served from the packages: an update needs no collectstatic.
WHITENOISE_USE_FINDERS = True

AUTH_USER_MODEL = "tenants.User"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
AUTH_PASSWORD_VALIDATORS += [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    }
]
PASSWORD_HASHERS = ["connector_project.core.password_hashing.LimitedPBKDF2PasswordHasher"]
LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
STAFF_SECOND_FACTOR = env.staff_second_factor("STAFF_SECOND_FACTOR", is_debug=DEBUG)
STAFF_IDLE_SECONDS = 30 * 60

# The lockout comes before the password is hashed.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_HANDLER = "connector_project.operations.sign_in.limits.SignInLimits"
AXES_CLIENT_IP_CALLABLE = "connector_project.operations.sign_in.limits.locking_address"
AXES_LOCKOUT_CALLABLE = "connector_project.operations.sign_in.limits.lockout_page"
AXES_COOLOFF_TIME = timedelta(minutes=15)
# An attempt during a lockout is not counted: the lockout ends.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_ENABLE_ADMIN = AXES_VERBOSE = False

REST_FRAMEWORK = {
    # Other systems authenticate by the secret in the URL; nobody logs in to these views.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
    # OPTIONS is answered like any other method that a view does not have, not with a description of the view.
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "connector_project.core.negotiation.IgnoreAccept",
    "EXCEPTION_HANDLER": "connector_project.core.http_server.api_exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}

FILTERS_EMPTY_CHOICE_LABEL = _("any")
SPECTACULAR_SETTINGS = {
    "TITLE": _("UIS ⇄ retailCRM connector"),
    "DESCRIPTION": _("Read-only access to calls, employees, reconciliation and incidents."),
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["connector_project.operations.api.schema.public_endpoints_only"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",  # from our own static files
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

_is_https = _public.scheme == "https"
# Safe because connector_project.core.middleware removes the header unless a trusted proxy sent it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = _is_https and not DEBUG
# Vendors follow no redirects: behind a proxy that TRUSTED_PROXIES does not list, every notification would be lost.
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^hooks/", r"^connect/"]
SECURE_HSTS_SECONDS = 31_536_000 if _is_https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _is_https
SECURE_HSTS_PRELOAD = _is_https
SESSION_COOKIE_SECURE = _is_https
SESSION_ENGINE = "connector_project.core.sessions"  # no session of a database copy works
CSRF_COOKIE_SECURE = _is_https
# A browser accepts these names only from this host over https, so nobody else can set the cookies.
SESSION_COOKIE_NAME = "__Host-sessionid" if _is_https else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if _is_https else "csrftoken"
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 60 * 60
SECURE_REFERRER_POLICY = "same-origin"
# Only staff send files, and no file is written to disk.
FILE_UPLOAD_HANDLERS = ["connector_project.core.upload_handler.StaffUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = LARGEST_STAFF_BODY
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # the page of a tenant with a thousand employees is one form

# One policy for every page: what our own files contain, nothing inline, nothing framed.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'"],
        "media-src": ["'self'"],  # recordings
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# The client's page writes to the clipboard; no page needs anything else of the device.
PERMISSIONS_POLICY = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"
)

# Alert deliveries.
_mail = env.mail_server("EMAIL_URL")
globals().update({"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"} | _mail)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.mail_sender("DEFAULT_FROM_EMAIL", default=f"connector@{_public.hostname}")
_languages = tuple(code for code, _name in LANGUAGES)
ALARM_LANGUAGE = env.one_of("ALARM_LANGUAGE", default=LANGUAGE_CODE, allowed=_languages)
ALARM_EMAILS = env.mail_addresses("ALARM_EMAILS", languages=_languages)
if ALARM_EMAILS and not _mail:
    raise ImproperlyConfigured("ALARM_EMAILS needs EMAIL_URL, the server that sends the mail.")
ALARM_WEBHOOK_URL = env.webhook("ALARM_WEBHOOK_URL", trusted=TRUSTED_REMOTE_HOSTS)
ALARM_WEBHOOK_SECRET = env.webhook_secret("ALARM_WEBHOOK_SECRET", is_needed=bool(ALARM_WEBHOOK_URL))

# Details of /health/ready/ for monitors on other machines.
METRICS_TOKEN = env.text("METRICS_TOKEN")

LOG_LEVEL = env.one_of("LOG_LEVEL", default="INFO", allowed=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.log_format()
LOGGING = logging_config(level=LOG_LEVEL, style=LOG_FORMAT)
log_uncaught_exceptions()

SENTRY_DSN = env.text("SENTRY_DSN")
if SENTRY_DSN:
    import sentry_sdk  # where it is not used, each process starts without it
    from sentry_sdk.integrations.argv import ArgvIntegration

    # No local variables, request bodies and command lines: they contain keys, links and phone numbers.
    sentry_sdk.init(
        dsn=SENTRY_DSN,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        disabled_integrations=[ArgvIntegration],
        server_name="",
        before_send=sentry_before_send,
    )
