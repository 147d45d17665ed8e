"""What a flow costs: how often one product module calls another, and how many take part, until the queue is empty.

The limits are the present figures; docs/architecture.md shows the paths. They may fall, not rise. One module of each
flow to the CRM is `tenants.account_url`, which the key must pass, one of each notification `core.request_checks`, and
one where people have typed a number `core.typed_numbers`.
One call of each pop-up and record asks whose an extension is in the CRM; one module of the sync, whether ours is on,
one what it lists, and one reads the client.
One module of the missed call decides whether there may be a voice mail, one of each command what it asks for.
One module writes each entry of the queue, by one call (`core.queue_entry`): django-q2's function costs more.
One module of each notification reads where a call came from, one of each call resolves it; one module of the sync reads
the campaign of each virtual number.
Three modules of each notification are the turns of the clients, and the compiled statements that it passes.
Three modules of each request keep it with its answer (`telephony.outgoing_requests`, six calls).
`core.compiled_queries` and what it uses run queries as Django does, whose calls do not count either.
"""

import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from telephony import tasks
from tests import task_queue
from tests.conftest import CONTACT, IVAN, NUMBER

PRODUCT = {"tenants", "telephony", "crm", "connector_project"}
QUERIES = {
    f"connector_project.core.{name}"
    for name in ("compiled_queries", "compiled_returning", "placeholders", "prepared_statements", "row_readers")
}


class Trace:
    """Counts calls that enter a product module from another one."""

    def __init__(self):
        self.modules, self.calls = set(), 0

    def __enter__(self):
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_error):
        sys.setprofile(None)

    def _count(self, frame, event, _arg):
        if event != "call":
            return
        module, caller = _module(frame), _module(frame.f_back)
        if module and caller and caller != module:
            self.modules |= {module, caller}
            self.calls += 1


def _module(frame):
    name = frame.f_globals.get("__name__", "") if frame else ""
    return name if name.partition(".")[0] in PRODUCT and name not in QUERIES else ""


@pytest.fixture
def flows(client, tenant, pbx, crm, notify, run_queue):
    """Return what plays each flow, prepared up to its first request."""

    def ringing():
        body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification(
            "waiting", employee_id=IVAN, at=timezone.now()
        )
        return lambda: notify(body)

    def missed():
        body = pbx.call(contact=CONTACT, number=NUMBER, rings=[IVAN]).notification("lost_call")
        return lambda: notify(body)

    def answered():
        started_at = timezone.now() - timedelta(seconds=40)
        call = pbx.call(contact=CONTACT, number=NUMBER, talks=[(IVAN, 20)], started_at=started_at)
        body = call.notification("call_end")
        return lambda: notify(body)

    def command(name, **params):
        form = {"clientId": tenant.crm.client_id, "userId": "27", "code": "101", **params}

        def send():
            assert client.post(f"/hooks/retailcrm/{tenant.crm.hook}/{name}/", form).status_code == 200
            run_queue()

        return send

    numbers, statuses = iter(["79990000008", "79990000009"]), iter(["busy", "dinner"])

    def sync():
        tasks.sync_all()
        return run_queue

    return {
        "ringing": ringing,
        "missed": missed,
        "answered": answered,
        "click": lambda: command("make-call", phone=next(numbers)),
        "status": lambda: command("change-user-status", status=next(statuses)),
        "sync": sync,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "modules", "calls"),
    [
        ("ringing", 39, 55),
        ("missed", 56, 122),
        ("answered", 69, 167),
        ("click", 21, 33),
        ("status", 21, 25),
        ("sync", 35, 98),
    ],
)
def test_flow_crosses_no_more_modules_than_now(flows, flow, modules, calls):
    task_queue.drain()
    flows[flow]()()  # What is read once per process is not counted.
    play = flows[flow]()
    with Trace() as trace:
        play()
    assert len(trace.modules) <= modules
    assert trace.calls <= calls
