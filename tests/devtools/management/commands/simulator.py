"""Serves both simulated vendors on one port: a page with a button per webhook, and an interface for scripts."""

import gc
import signal
import threading
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from connector_project.operations.management.base import JsonCommand
from tests.simulator.clock import shifted_now
from tests.simulator.fixtures import CRM_KEY, UIS_TOKEN, create_tenants
from tests.simulator.server import Simulator

NO_FULL_COLLECTION = 1_000_000


class Command(JsonCommand):
    help = "Serve a simulated UIS and a simulated retailCRM until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8001)
        parser.add_argument("--hook", default="", help="the URL `notifications` that add_tenant prints")
        parser.add_argument("--clients", type=int, default=1, help="number of accounts at each vendor")
        parser.add_argument("--clock", type=Path, help="a file with the seconds to shift the vendors' clock by")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            now = shifted_now(options["clock"]) if options["clock"] else None
            simulator = Simulator(
                create_tenants(options["clients"], hook=options["hook"], now=now), port=options["port"]
            )
        except (OSError, OverflowError) as exc:
            self.fail(f"Port {options['port']} cannot be used: {exc}. Choose another with --port.")
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_signal: ended.set())
        # A full collection of all that the vendors have stored would hold every request for a tenth of a second.
        gc.set_threshold(*gc.get_threshold()[:2], NO_FULL_COLLECTION)
        simulator.start()
        self.print_json(
            page=f"{simulator.address}/",
            crm_url=simulator.address,
            crm_key=CRM_KEY,
            uis_token=UIS_TOKEN,
            UIS_DATA_API_URL=f"{simulator.address}/uis/data/v2.0",
            UIS_CALL_API_URL=f"{simulator.address}/uis/call/v4.0",
            UIS_MEDIA_URL=f"{simulator.address}/uis/media",
            TRUSTED_REMOTE_HOSTS=simulator.address.removeprefix("http://"),
        )
        self.stdout.flush()
        ended.wait()
        simulator.stop()
