"""The simulator's HTTP server: both vendors' APIs, the page, and the control interface."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from requests.structures import CaseInsensitiveDict

from tests.simulator import control, page, scenarios, texts
from tests.simulator.fixtures import BadRequest, SimulatedTenant
from tests.simulator.state import calls_by_tenant, events_of_all, state

UIS_PATHS = {"/uis/data/v2.0": "data", "/uis/call/v4.0": "call"}
MEDIA_PATH = "/uis/media"
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
}


class Simulator(ThreadingHTTPServer):
    """Serves all simulated clients; each request has its own thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tenant: SimulatedTenant, *, port: int) -> None:
        # Each client's CRM is a separate host of this machine.
        super().__init__(("0.0.0.0" if len(tenant.vendors.tenants) > 1 else "127.0.0.1", port), Handler)
        self.tenant = tenant
        for each in tenant.vendors.tenants:
            each.pbx.media_url = f"{self.address}{MEDIA_PATH}"

    @property
    def address(self) -> str:
        """The base URL; also the URL of the first CRM account."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Accept requests from this machine only."""
        return str(client_address[0]).startswith("127.")

    def start(self) -> None:
        """Serve in the background until `stop`."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect: tests kill them on purpose."""


class Handler(BaseHTTPRequestHandler):
    server: Simulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    timeout = 120

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the state shows the requests."""

    def serve(self) -> None:
        """Route a request."""
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length)) if length.isdigit() else b""
        parts = urlsplit(self.path)
        headers = CaseInsensitiveDict(self.headers.items())
        tenant = self.server.tenant
        if api := UIS_PATHS.get(parts.path):
            reply = tenant.serve_uis(api, method=self.command, headers=headers, body=body)
        elif parts.path.startswith(f"{MEDIA_PATH}/"):
            path = parts.path.removeprefix(MEDIA_PATH)
            reply = tenant.serve_media(method=self.command, path=path, headers=headers)
        elif parts.path.startswith("/api/"):
            host = self.headers.get("Host", "").partition(":")[0]
            request_line = {"host": host, "method": self.command, "path": parts.path, "query": parts.query}
            reply = tenant.serve_crm(**request_line, headers=headers, body=body)
        else:
            return self._route_own(parts.path, parts.query, body)
        if reply is None:
            return self._close()
        return self._answer(reply.status, reply.body, reply.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = serve  # noqa: N815 -- http.server's names

    def _route_own(self, path: str, query: str, body: bytes) -> None:
        if path.startswith("/control/"):
            return self._control(path.removeprefix("/control/"), query, body)
        tenant = self.server.tenant
        language = texts.choose(parse_qs(query).get("lang", [""])[0], self.headers.get("Accept-Language", ""))
        if (self.command, path) == ("POST", "/press"):
            return self._press(body, language=language)
        if (self.command, path) == ("GET", "/"):
            return self._answer(
                200, page.render(state(tenant), language=language, last_reply=tenant.last_reply), PAGE_HEADERS
            )
        return self._answer(404, "Not found.", {"Content-Type": "text/plain; charset=utf-8"})

    def _close(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True

    def _control(self, name: str, query: str, body: bytes) -> None:
        tenant = self.server.tenant
        try:
            if (self.command, name) == ("GET", "state"):
                return self._json(200, state(control.find_tenant(tenant, dict(parse_qsl(query)))))
            if (self.command, name) == ("GET", "calls_by_client"):
                return self._json(200, calls_by_tenant(tenant.vendors))
            if (self.command, name) == ("GET", "events"):
                return self._json(200, events_of_all(tenant.vendors))
            if self.command != "POST":
                return self._json(405, {"error": "use POST"})
            params = json.loads(body or b"{}")
            if not isinstance(params, dict):
                raise BadRequest("the body must be a JSON object")
            return self._json(200, control.execute(tenant, name, params))
        except json.JSONDecodeError:
            return self._json(400, {"error": "the body is not JSON"})
        except BadRequest as exc:
            return self._json(400, {"error": str(exc)})

    def _press(self, body: bytes, *, language: str) -> None:
        """Run the button's scene and redirect to the page; a whole call goes on in the background."""
        tenant = self.server.tenant
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        group, _, name = form.get("button", "").partition("/")
        params = page.BUTTONS.get(group, {}).get(name)
        if name == "status":
            params = {"scene": "status", "status": form.get("status", "")}
        try:
            if name == "reset":
                tenant.vendors.reset()
            elif name == "ringing" and tenant.hook:
                tenant.last_reply = "…"
                threading.Thread(target=scenarios.play, args=(tenant, {"scene": name, "pause": 3}), daemon=True).start()
            else:
                tenant.last_reply = json.dumps(scenarios.play(tenant, params or {}), ensure_ascii=False)
        except BadRequest as exc:
            tenant.last_reply = str(exc)
        self._answer(303, "", {"Location": f"/?lang={language}"})

    def _json(self, status: int, reply: Any) -> None:
        self._answer(status, json.dumps(reply, ensure_ascii=False), {"Content-Type": "application/json; charset=utf-8"})

    def _answer(self, status: int, body: str | bytes, headers: dict[str, str]) -> None:
        raw = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
        self.wfile.flush()
