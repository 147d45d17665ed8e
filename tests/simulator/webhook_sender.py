"""What the simulator sends to the connector: UIS's notifications and the CRM's callbacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from tests.fakes.uis import Session
from tests.fakes.uis_webhooks import FakeNotification
from tests.simulator.fixtures import BadRequest, SimulatedTenant

TIMEOUT_SECONDS = 15
FORMS = ("flat", "nested", "query")
# Two common mistakes in a template: quotes around a value that has its own, and an unknown macro.
BROKEN_BODY = '{"event": "call_end", "contact_phone_number": ""79990000001"", "call_session_id": {{call_session_id}}}'

# (HTTP method, URL, query, JSON body) -> (status, text); status 0 if there is no answer
Send = Callable[[str, str, Mapping[str, str] | str, object], tuple[int, str]]


def over_http(method: str, url: str, query: Mapping[str, str] | str, body: object) -> tuple[int, str]:
    """Send one request to the connector; status 0 if there is no answer."""
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
class WebhookSender:
    """Sends requests to the connector and returns its answers."""

    tenant: SimulatedTenant
    send: Send = over_http
    form: str = "flat"

    def notify(self, session: Session, event: str, **details: Any) -> dict[str, object]:
        """Send one notification of UIS: in the chosen form, or rendered from the entered templates."""
        if self.tenant.templates:
            return self._notify_from_template(session, event, **details)
        with self.tenant.lock:
            if self.form == "query":
                query, body = session.as_query(event, **details), None
            else:
                query, body = "", session.notification(event, nested=self.form == "nested", **details)
        hook = self._hook()
        return self._deliver(session, event, lambda: self.send("GET" if query else "POST", hook, query, body)[0])

    def _notify_from_template(self, session: Session, event: str, **details: Any) -> dict[str, object]:
        """Render the template entered for this event; without one, UIS sends nothing."""
        with self.tenant.lock:
            if event not in self.tenant.templates:
                return {"event": event, "session": session.session_id, "status": 200, "has_template": False}
            address, template = self.tenant.templates[event]
            body = FakeNotification(session, event, **details).render(template)
        return self._deliver(session, event, lambda: self.send("POST", address, "", body)[0])

    def _deliver(self, session: Session, event: str, send: Callable[[], int]) -> dict[str, object]:
        """Send, hold or drop a notification, as configured."""
        result = {"event": event, "session": session.session_id}
        if self.tenant.delivery == "send":
            return {**result, "status": send()}
        if self.tenant.delivery == "hold":
            self.tenant.vendors.held_notifications.append(send)
        return {**result, "status": 200, "is_sent": False}

    def send_broken_template(self) -> dict[str, object]:
        """Send what an invalid template renders."""
        status, _ = self.send("POST", self._hook(), "", BROKEN_BODY)
        return {"event": "broken template", "status": status}

    def send_callback(self, address: str, query: Mapping[str, str]) -> dict[str, object]:
        """Send a request of the CRM to a URL of our module."""
        module, block = self._module()
        if not block.get(address):
            raise BadRequest(f"The module in the CRM has no {address}.")
        status, text = self.send("GET", str(block[address]), {"clientId": str(module["clientId"]), **query}, None)
        return {"request": address, "status": status, "body": text}

    def _hook(self) -> str:
        if not self.tenant.hook:
            raise BadRequest('The connector\'s URL is not set: POST /control/connect {"hook": "…"}.')
        return self.tenant.hook

    def _module(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with self.tenant.lock:
            for module in self.tenant.crm_account.modules.values():
                block = module.get("integrations", {}).get("telephony")
                if module.get("active") and block:
                    return module, block
        raise BadRequest("No telephony module is active in the CRM: activate the client first.")
