"""A simulator in the test's own process, and a connector that takes what it sends."""

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
from tests.simulator.fixtures import CRM_HOST, CRM_KEY, NUMBER, UIS_TOKEN, World
from tests.simulator.server import Simulator

Play = Callable[..., dict[str, Any]]
Ask = Callable[..., requests.Response]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def play(world: World, client: Client, db: None) -> Iterator[Play]:
    """Play a scene to a connector whose client is switched on, and work off what follows from each request."""

    def send(method: str, url: str, query: Mapping[str, str] | str, body: Any) -> tuple[int, str]:
        path = urlsplit(url).path
        if method == "GET":
            address = f"{path}?{query}" if isinstance(query, str) else path
            answer = client.get(address, {} if isinstance(query, str) else dict(query))
        else:
            answer = client.post(path, body, content_type="application/json")
        real_queue.drain()
        return answer.status_code, answer.content.decode()

    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        world.uis.mount(wire)
        world.crm.mount(wire)
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
        world.hook = f"https://connector.example.com/hooks/uis/{tenant.uis.hook}/"
        yield lambda scene, **asked: scenarios.play(world, {"scene": scene, **asked}, send=send)


@pytest.fixture
def ask(world: World) -> Iterator[Ask]:
    """Ask a simulator on a real port."""
    simulator = Simulator(world, port=0)
    simulator.start()

    def send(method: str, path: str, **about: Any) -> requests.Response:
        return requests.request(method, simulator.address + path, timeout=10, allow_redirects=False, **about)

    yield send
    simulator.stop()
