"""The API methods of the fake retailCRM, and the checks before them: key, rate limit, version, HTTP method, scope."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import unquote

from tests.fakes import retailcrm_calls as calls
from tests.fakes import retailcrm_events as events
from tests.fakes import retailcrm_manager as manager
from tests.fakes import retailcrm_modules as modules
from tests.fakes import retailcrm_notifications as notifications
from tests.fakes import retailcrm_settings as settings
from tests.fakes import retailcrm_users as people
from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_http import Answer, ApiError, Incoming, done, page, plain

_PATH = re.compile(r"/api(?:/(v\d+))?(/.*)")
_SECOND = timedelta(seconds=1)
_PER_SECOND = {"ordinary": 10, "telephony": 40}
_PUBLIC_PATH = "/api/system-info"


@dataclass(frozen=True)
class Method:
    """One API method: its path, the versions that have it ("" for none), the scope it needs."""

    http: str
    path: str
    versions: tuple[str, ...]
    scope: str | None
    handler: Callable[[Account, Incoming], Answer]

    def match(self, path: str) -> re.Match[str] | None:
        """Match a path, without its version, against this method's."""
        pattern = self.path.replace("{id}", r"(?P<id>\d{1,18})").replace("{code}", "(?P<code>[^/]+)")
        return re.fullmatch(pattern, path, re.ASCII)


def answer(account: Account, incoming: Incoming) -> Answer:
    """Dispatch a request of a known account to its method; errors become answers."""
    try:
        if incoming.path != _PUBLIC_PATH:
            _check_key(account, incoming)
            if _is_over_limit(account, incoming):
                return _rate_limited(account.limit_status)
        return _dispatch(account, incoming)
    except ApiError as exc:
        return exc.answer(errors_as_list=account.errors_as_list)


def _check_key(account: Account, incoming: Incoming) -> None:
    if not incoming.key:
        raise ApiError(403, '"apiKey" is missing.')
    if incoming.key != account.key:
        raise ApiError(403, 'Wrong "apiKey" value.')


def _is_over_limit(account: Account, incoming: Incoming) -> bool:
    """Count the requests accepted in the last second."""
    kind = "telephony" if _split(incoming.path)[1].startswith("/telephony") else "ordinary"
    recent = [at for at in account.recent.get(kind, []) if timedelta() <= incoming.at - at < _SECOND]
    is_over_limit = account.limits_on and len(recent) >= _PER_SECOND[kind]
    account.recent[kind] = recent if is_over_limit else [*recent, incoming.at]
    account.over_limit += is_over_limit
    return is_over_limit


def _rate_limited(status: int) -> Answer:
    """The usual 503 has a text; of the 429 only the status is documented."""
    return plain(status, "Service Temporarily Unavailable" if status == 503 else "")


def _dispatch(account: Account, incoming: Incoming) -> Answer:
    if not incoming.path.startswith("/api/"):
        return page(404, "404 Not Found")  # outside the API
    version, path = _split(incoming.path)
    method = _find_method(account, version, path, http=incoming.method)
    if not _is_allowed(account, method):
        raise ApiError(403, "Access denied.")
    args = method.match(path)
    path_args = {name: unquote(value) for name, value in args.groupdict().items()} if args else {}
    return method.handler(account, replace(incoming, version=version, args=path_args))


def _split(path: str) -> tuple[str, str]:
    parts = _PATH.fullmatch(path)
    return (parts[1] or "", parts[2]) if parts else ("", "")


def _find_method(account: Account, version: str, path: str, *, http: str) -> Method:
    candidates = [method for method in METHODS if version in method.versions and method.match(path)]
    is_off = {"v4": not account.serves_v4, "v5": not account.serves_v5}.get(version, False)
    is_missing = path == "/telephony/calls" and not account.serves_calls_list
    if not candidates or is_off or is_missing:
        raise ApiError(404, "API method not found")
    for method in candidates:
        if method.http == http:
            return method
    raise ApiError(405, "Method Not Allowed")


def _is_allowed(account: Account, method: Method) -> bool:
    """A key of the old kind has method patterns, written without the version; a newer one has scopes."""
    if "" in method.versions:
        return True
    if account.credentials is not None:
        return f"/api{method.path}" in account.credentials
    if method.handler is notifications.send and not account.takes_messages:
        return False
    scope = account.settings_scope if method.handler is _show_settings else method.scope
    return scope is None or scope in account.scopes


def _show_credentials(account: Account, _incoming: Incoming) -> Answer:
    allowed = [f"/api{method.path}" for method in METHODS if "" not in method.versions and _is_allowed(account, method)]
    sites = {"sitesAvailable": list(account.sites)} if account.site_access == "access_selective" else {}
    return done(
        scopes=sorted(account.scopes) if account.credentials is None else [],
        credentials=list(dict.fromkeys(allowed)) if account.credentials is None else account.credentials,
        siteAccess=account.site_access,
        **sites,
    )


def _show_versions(account: Account, _incoming: Incoming) -> Answer:
    return done(versions=["3.0", *["4.0"] * account.serves_v4, *["5.0"] * account.serves_v5])


def _show_system(account: Account, _incoming: Incoming) -> Answer:
    return done(
        systemVersion="8.1.51",
        publicUrl=f"https://{account.host}",
        technicalUrl=f"https://{account.technical_host}",
    )


def _show_settings(account: Account, _incoming: Incoming) -> Answer:
    values = {"default_currency": "RUB", "system_language": "RU", "timezone": account.timezone}
    return done(
        settings={
            **{name: {"value": value, "updated_at": "2021-02-08 08:29:40"} for name, value in values.items()},
            "work_times": [{"day_type": "Monday", "start_time": "08:00", "end_time": "20:30"}],
        }
    )


_ANY, _V4, _V5, _BOTH = ("",), ("v4",), ("v5",), ("v4", "v5")

METHODS: tuple[Method, ...] = (
    Method("GET", "/api-versions", _ANY, None, _show_versions),
    Method("GET", "/credentials", _ANY, None, _show_credentials),
    Method("GET", "/system-info", _ANY, None, _show_system),
    Method("GET", "/settings", _V5, None, _show_settings),
    Method("GET", "/integration-modules/{code}", _V5, "integration_read", modules.show),
    Method("POST", "/integration-modules/{code}/edit", _V5, "integration_write", modules.edit),
    Method("POST", "/integration-modules/{code}/update-scopes", _V5, "integration_write", modules.update_scopes),
    Method("GET", "/telephony/setting/{code}", _V4, "telephony_read", settings.show),
    Method("POST", "/telephony/setting/{code}/edit", _V4, "telephony_write", settings.edit),
    Method("POST", "/telephony/call/event", _BOTH, "telephony_write", events.receive),
    Method("POST", "/telephony/calls/upload", _BOTH, "telephony_write", calls.upload),
    Method("GET", "/telephony/manager", _BOTH, "telephony_read", manager.show),
    Method("GET", "/telephony/calls", _V5, "telephony_read", calls.show),
    Method("GET", "/users", _BOTH, "user_read", people.show_users),
    Method("GET", "/users/{id}", _BOTH, "user_read", people.show_user),
    Method("POST", "/users/{id}/status", _V5, "user_write", people.set_status),
    # The scope is not documented; `takes_messages` refuses it.
    Method("POST", "/notifications/send", _V5, None, notifications.send),
    Method("GET", "/user-groups", _BOTH, "user_read", people.show_groups),
)
