"""The simulator on a port: both vendors' addresses, the page, and the control interface."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from requests.structures import CaseInsensitiveDict

from tests.simulator import control, page, scenarios, texts
from tests.simulator.fixtures import World, Wrong
from tests.simulator.state import ledger, state

UIS_PATHS = {"/uis/data/v2.0": "data", "/uis/call/v4.0": "call"}
MEDIA_PATH = "/uis/media"
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
}


class Simulator(ThreadingHTTPServer):
    """Serves one world; each request has a thread of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, world: World, *, port: int) -> None:
        # Each client's CRM is a host of its own, all of them of this machine.
        super().__init__(("0.0.0.0" if len(world.vendors.worlds) > 1 else "127.0.0.1", port), Handler)
        self.world = world
        for client in world.vendors.worlds:
            client.pbx.media_url = f"{self.address}{MEDIA_PATH}"

    @property
    def address(self) -> str:
        """Where it listens; also the address of the CRM account."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Hear this machine only."""
        return str(client_address[0]).startswith("127.")

    def start(self) -> None:
        """Serve in the background until `stop`."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a caller that was killed while it waited: tests do that on purpose."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Simulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    timeout = 120

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the state tells what came."""

    def serve(self) -> None:
        """Send a request to whom it is meant for."""
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length)) if length.isdigit() else b""
        parts = urlsplit(self.path)
        headers = CaseInsensitiveDict(self.headers.items())
        world = self.server.world
        if api := UIS_PATHS.get(parts.path):
            said = world.ask_uis(api, method=self.command, headers=headers, body=body)
        elif parts.path.startswith(f"{MEDIA_PATH}/"):
            path = parts.path.removeprefix(MEDIA_PATH)
            said = world.ask_media(method=self.command, path=path, headers=headers)
        elif parts.path.startswith("/api/"):
            host = self.headers.get("Host", "").partition(":")[0]
            about = {"host": host, "method": self.command, "path": parts.path, "query": parts.query}
            said = world.ask_crm(**about, headers=headers, body=body)
        else:
            return self._ours(parts.path, parts.query, body)
        if said is None:
            return self._hang_up()
        return self._answer(said.status, said.body, said.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = serve  # noqa: N815 -- http.server's names

    def _ours(self, path: str, query: str, body: bytes) -> None:
        if path.startswith("/control/"):
            return self._control(path.removeprefix("/control/"), query, body)
        world = self.server.world
        language = texts.choose(parse_qs(query).get("lang", [""])[0], self.headers.get("Accept-Language", ""))
        if (self.command, path) == ("POST", "/press"):
            return self._press(body, language=language)
        if (self.command, path) == ("GET", "/"):
            return self._answer(200, page.render(state(world), language=language, said=world.said), PAGE_HEADERS)
        return self._answer(404, "There is nothing here.", {"Content-Type": "text/plain; charset=utf-8"})

    def _hang_up(self) -> None:
        """End the connection without a word."""
        self.close_connection = True

    def _control(self, name: str, query: str, body: bytes) -> None:
        world = self.server.world
        try:
            if (self.command, name) == ("GET", "state"):
                return self._json(200, state(control.world_of(world, dict(parse_qsl(query)))))
            if (self.command, name) == ("GET", "ledger"):
                return self._json(200, ledger(world.vendors))
            if self.command != "POST":
                return self._json(405, {"error": "use POST"})
            asked = json.loads(body or b"{}")
            if not isinstance(asked, dict):
                raise Wrong("the body must be a JSON object")
            return self._json(200, control.carry_out(world, name, asked))
        except json.JSONDecodeError:
            return self._json(400, {"error": "the body is no JSON"})
        except Wrong as exc:
            return self._json(400, {"error": str(exc)})

    def _press(self, body: bytes, *, language: str) -> None:
        """Do what a button says, and show the page again; a whole call goes on behind it."""
        world = self.server.world
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        group, _, name = form.get("button", "").partition("/")
        asked = page.BUTTONS.get(group, {}).get(name)
        if name == "status":
            asked = {"scene": "status", "status": form.get("status", "")}
        try:
            if name == "reset":
                world.vendors.forget()
            elif name == "ringing" and world.hook:
                world.said = "…"
                threading.Thread(target=scenarios.play, args=(world, {"scene": name, "pause": 3}), daemon=True).start()
            else:
                world.said = json.dumps(scenarios.play(world, asked or {}), ensure_ascii=False)
        except Wrong as exc:
            world.said = str(exc)
        self._answer(303, "", {"Location": f"/?lang={language}"})

    def _json(self, status: int, said: Any) -> None:
        self._answer(status, json.dumps(said, ensure_ascii=False), {"Content-Type": "application/json; charset=utf-8"})

    def _answer(self, status: int, said: str | bytes, headers: dict[str, str]) -> None:
        raw = said.encode() if isinstance(said, str) else said
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
        self.wfile.flush()
