"""What the simulator sends to the connector: UIS's notifications and the CRM's own requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from tests.fakes.uis import Session
from tests.fakes.uis_webhooks import Notice
from tests.simulator.fixtures import World, Wrong

TIMEOUT_SECONDS = 15
FORMS = ("flat", "nested", "query")
# Two mistakes that people make in a template: quotes around a value that brings its own, and a macro nobody fills in.
BROKEN = '{"event": "call_end", "contact_phone_number": ""79990000001"", "call_session_id": {{call_session_id}}}'

# (HTTP method, address, query, JSON body) -> (status, text); status 0 when nobody answered
Send = Callable[[str, str, Mapping[str, str] | str, object], tuple[int, str]]


def over_http(method: str, url: str, query: Mapping[str, str] | str, body: object) -> tuple[int, str]:
    """Send one request from the vendor's side."""
    data = body.encode() if isinstance(body, str) else None
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                method,
                url,
                params=query,
                data=data,
                json=None if data else body,
                headers={"Content-Type": "application/json"} if body is not None else {},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
    except requests.RequestException as exc:
        return 0, type(exc).__name__
    return answer.status_code, answer.text[:500]


@dataclass
class Courier:
    """Brings requests to the connector and notes what it said."""

    world: World
    send: Send = over_http
    form: str = "flat"

    def notify(self, session: Session, event: str, **about: Any) -> dict[str, object]:
        """Send one notification of UIS: in the form of the moment, or from what was typed into the cabinet."""
        if self.world.typed:
            return self._notify_as_typed(session, event, **about)
        with self.world.lock:
            if self.form == "query":
                query, body = session.as_query(event, **about), None
            else:
                query, body = "", session.notification(event, nested=self.form == "nested", **about)
        hook = self._hook()
        return self._bring(session, event, lambda: self.send("GET" if query else "POST", hook, query, body)[0])

    def _notify_as_typed(self, session: Session, event: str, **about: Any) -> dict[str, object]:
        """Send what somebody typed in for this event; where nobody did, UIS tells nobody."""
        with self.world.lock:
            if event not in self.world.typed:
                return {"event": event, "session": session.session_id, "status": 200, "is_typed": False}
            address, template = self.world.typed[event]
            body = Notice(session, event, **about).filled(template)
        return self._bring(session, event, lambda: self.send("POST", address, "", body)[0])

    def _bring(self, session: Session, event: str, send: Callable[[], int]) -> dict[str, object]:
        """Send a notification, or do with it what UIS was ordered to: keep it for later, or forget it."""
        said = {"event": event, "session": session.session_id}
        if self.world.notices == "send":
            return {**said, "status": send()}
        if self.world.notices == "hold":
            self.world.vendors.held.append(send)
        return {**said, "status": 200, "is_sent": False}

    def break_template(self) -> dict[str, object]:
        """Send what a wrongly typed template gives."""
        status, _ = self.send("POST", self._hook(), "", BROKEN)
        return {"event": "broken template", "status": status}

    def call_back(self, address: str, said: Mapping[str, str]) -> dict[str, object]:
        """Make a request of the CRM to an address that our module gave."""
        module, block = self._module()
        if not block.get(address):
            raise Wrong(f"The module in the CRM has no {address}.")
        status, text = self.send("GET", str(block[address]), {"clientId": str(module["clientId"]), **said}, None)
        return {"request": address, "status": status, "says": text}

    def _hook(self) -> str:
        if not self.world.hook:
            raise Wrong('The connector\'s address is not known: POST /control/connect {"hook": "…"}.')
        return self.world.hook

    def _module(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.world.lock:
            for module in self.world.shop.modules.values():
                block = module.get("integrations", {}).get("telephony")
                if module.get("active") and block:
                    return module, block
        raise Wrong("No telephony module is active in the CRM: activate the client first.")
