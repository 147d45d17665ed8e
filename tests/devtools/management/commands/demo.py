"""Runs the connector with both vendors simulated, and plays every flow."""

import os
import signal
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tests.simulator import flows
from tests.simulator.environment import ADMIN, Environment
from tests.simulator.processes import ROOT, EnvironmentFailure

POLL_SECONDS = 1.0


class Command(BaseCommand):
    help = "Start the connector with both vendors simulated, play every flow, and keep running until Ctrl-C."
    requires_system_checks: list[str] = []
    is_done = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8000, help="port of the connector; the simulator uses the next one"
        )
        parser.add_argument("--once", action="store_true", help="stop after the flows")
        parser.add_argument("--dev", action="store_true", help="reload the web process on changes; play no flows")

    def handle(self, *_args: Any, **options: Any) -> None:
        environment = Environment(options["port"], is_dev=options["dev"])
        # No child process may outlive this one, also when the terminal closes; nohup still works.
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        try:
            self._play(environment, is_once=options["once"])
        except EnvironmentFailure as exc:
            raise CommandError(f"The demonstration stopped: {exc}", returncode=1) from exc
        except KeyboardInterrupt as exc:
            if not self.is_done:
                raise CommandError("Interrupted before everything was done.", returncode=1) from exc
            self._say("Stopping.")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave processes running
            environment.tear_down()

    def _play(self, environment: Environment, *, is_once: bool) -> None:
        started_at = time.monotonic()
        self._say(f"Starting in {environment.children.directory.relative_to(ROOT)}/ …")
        environment.set_up()
        self._say(f"Web, workers and simulator are up after {time.monotonic() - started_at:.1f} s.")
        if is_once or not environment.is_dev:
            flows.play_all(environment, self._say)
            self._say(f"All {len(flows.FLOWS)} flows passed, {time.monotonic() - started_at:.1f} s in total.")
        self._print_addresses(environment)
        self.is_done = True
        if not is_once:
            self._say(f"Ctrl-C stops everything (or: kill {os.getpid()}).")
            while True:
                environment.children.check()
                time.sleep(POLL_SECONDS)

    def _print_addresses(self, environment: Environment) -> None:
        for name, value in (
            ("Admin", f"{environment.address}/admin/"),
            ("Login", f"{ADMIN} / {environment.password}"),
            ("Client", environment.page),
            ("Simulator", f"{environment.simulator}/?lang=en"),
            ("Health", f"{environment.address}/health/ready/"),
            ("Logs", f"{environment.children.directory.relative_to(ROOT)}/*.log"),
        ):
            self._say(f"{name + ':':<11}{value}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
