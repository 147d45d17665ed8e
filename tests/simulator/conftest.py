"""A simulator in the test's own process, and a connector that receives what it sends."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import responses
from django.test import Client
from django.utils import timezone

from connector_project.operations.onboarding import steps
from tenants import onboarding
from tests import task_queue as real_queue
from tests.simulator import scenarios
from tests.simulator.fixtures import CRM_HOST, CRM_KEY, NUMBER, UIS_TOKEN, SimulatedTenant
from tests.simulator.server import Simulator

Play = Callable[..., dict[str, Any]]
Request = Callable[..., requests.Response]


@pytest.fixture
def simulated() -> SimulatedTenant:
    return SimulatedTenant()


@pytest.fixture
def play(simulated: SimulatedTenant, client: Client, db: None) -> Iterator[Play]:
    """Play a scene against a connector with an activated client, and drain the queue after each request."""

    def send(method: str, url: str, query: Mapping[str, str] | str, body: Any) -> tuple[int, str]:
        path = urlsplit(url).path
        if method == "GET":
            url = f"{path}?{query}" if isinstance(query, str) else path
            answer = client.get(url, {} if isinstance(query, str) else dict(query))
        else:
            answer = client.post(path, body, content_type="application/json")
        real_queue.drain()
        return answer.status_code, answer.content.decode()

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        simulated.uis.mount(mock)
        simulated.crm.mount(mock)
        new = onboarding.NewTenant(
            name="Demo",
            slug="demo",
            uis_token=UIS_TOKEN,
            crm_url=f"https://{CRM_HOST}",
            crm_key=CRM_KEY,
            default_number=NUMBER,
        )
        tenant = onboarding.create_tenant(new, now=timezone.now())
        steps.activate(tenant, now=timezone.now())
        simulated.hook = f"https://connector.example.com/hooks/uis/{tenant.uis.hook}/"
        yield lambda scene, **params: scenarios.play(simulated, {"scene": scene, **params}, send=send)


@pytest.fixture
def http(simulated: SimulatedTenant) -> Iterator[Request]:
    """Send requests to a simulator on a real port."""
    simulator = Simulator(simulated, port=0)
    simulator.start()

    def send(method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, simulator.address + path, timeout=10, allow_redirects=False, **options)

    yield send
    simulator.stop()
