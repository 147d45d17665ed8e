"""The methods of the fake retailCRM, and the way to them: key, rate limit, version, HTTP method, right."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import unquote

from tests.fakes import retailcrm_calls as calls
from tests.fakes import retailcrm_events as events
from tests.fakes import retailcrm_manager as manager
from tests.fakes import retailcrm_modules as modules
from tests.fakes import retailcrm_settings as settings
from tests.fakes import retailcrm_users as people
from tests.fakes.retailcrm_account import Account
from tests.fakes.retailcrm_http import Answer, Incoming, Refused, done, page, plain

_PATH = re.compile(r"/api(?:/(v\d+))?(/.*)")
_SECOND = timedelta(seconds=1)
_PER_SECOND = {"ordinary": 10, "telephony": 40}
_OPEN = "/api/system-info"


@dataclass(frozen=True)
class Method:
    """One API method: where it is, which versions have it ("" for none), which scope it takes."""

    http: str
    path: str
    versions: tuple[str, ...]
    scope: str | None
    handler: Callable[[Account, Incoming], Answer]

    def match(self, path: str) -> re.Match[str] | None:
        """Compare a path, without its version, to this method's."""
        pattern = self.path.replace("{id}", r"(?P<id>\d{1,18})").replace("{code}", "(?P<code>[^/]+)")
        return re.fullmatch(pattern, path, re.ASCII)


def answer(account: Account, asked: Incoming) -> Answer:
    """Let a request of a known account through to its method, or refuse it."""
    try:
        if asked.path != _OPEN:
            _check_key(account, asked)
            if _is_over_limit(account, asked):
                return _too_fast(account.limit_status)
        return _carry_out(account, asked)
    except Refused as exc:
        return exc.answer(errors_as_list=account.errors_as_list)


def _check_key(account: Account, asked: Incoming) -> None:
    if not asked.key:
        raise Refused(403, '"apiKey" is missing.')
    if asked.key != account.key:
        raise Refused(403, 'Wrong "apiKey" value.')


def _is_over_limit(account: Account, asked: Incoming) -> bool:
    """Count what was let through in the last second."""
    kind = "telephony" if _split(asked.path)[1].startswith("/telephony") else "ordinary"
    recent = [at for at in account.recent.get(kind, []) if timedelta() <= asked.at - at < _SECOND]
    is_over = account.limits_on and len(recent) >= _PER_SECOND[kind]
    account.recent[kind] = recent if is_over else [*recent, asked.at]
    account.over_limit += is_over
    return is_over


def _too_fast(status: int) -> Answer:
    """The usual 503 has a text; of the 429 only the number is known."""
    return plain(status, "Service Temporarily Unavailable" if status == 503 else "")


def _carry_out(account: Account, asked: Incoming) -> Answer:
    if not asked.path.startswith("/api/"):
        return page(404, "404 Not Found")  # the front server, or the CRM's own pages
    version, path = _split(asked.path)
    method = _find(account, version, path, http=asked.method)
    if not _may(account, method):
        raise Refused(403, "Access denied.")
    args = method.match(path)
    named = {name: unquote(value) for name, value in args.groupdict().items()} if args else {}
    return method.handler(account, replace(asked, version=version, args=named))


def _split(path: str) -> tuple[str, str]:
    parts = _PATH.fullmatch(path)
    return (parts[1] or "", parts[2]) if parts else ("", "")


def _find(account: Account, version: str, path: str, *, http: str) -> Method:
    found = [method for method in METHODS if version in method.versions and method.match(path)]
    is_off = {"v4": not account.serves_v4, "v5": not account.serves_v5}.get(version, False)
    is_unlisted = path == "/telephony/calls" and not account.serves_calls_list
    if not found or is_off or is_unlisted:
        raise Refused(404, "API method not found")
    for method in found:
        if method.http == http:
            return method
    raise Refused(405, "Method Not Allowed")


def _may(account: Account, method: Method) -> bool:
    """An old key has patterns of methods, written without the version; a newer one has scopes."""
    if "" in method.versions:
        return True
    if account.credentials is not None:
        return f"/api{method.path}" in account.credentials
    scope = account.settings_scope if method.handler is _show_settings else method.scope
    return scope is None or scope in account.scopes


def _show_credentials(account: Account, _asked: Incoming) -> Answer:
    allowed = [f"/api{method.path}" for method in METHODS if "" not in method.versions and _may(account, method)]
    sites = {"sitesAvailable": list(account.sites)} if account.site_access == "access_selective" else {}
    return done(
        scopes=sorted(account.scopes) if account.credentials is None else [],
        credentials=list(dict.fromkeys(allowed)) if account.credentials is None else account.credentials,
        siteAccess=account.site_access,
        **sites,
    )


def _show_versions(account: Account, _asked: Incoming) -> Answer:
    return done(versions=["3.0", *["4.0"] * account.serves_v4, *["5.0"] * account.serves_v5])


def _show_system(account: Account, _asked: Incoming) -> Answer:
    return done(
        systemVersion="8.1.51",
        publicUrl=f"https://{account.host}",
        technicalUrl=f"https://{account.technical_host}",
    )


def _show_settings(account: Account, _asked: Incoming) -> Answer:
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
    Method("GET", "/user-groups", _BOTH, "user_read", people.show_groups),
)
