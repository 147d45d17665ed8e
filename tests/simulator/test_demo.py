"""`make demo`: real processes, from an empty directory to the last flow."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command

from tests.devtools.management.commands import demo, simulator
from tests.ports import free_pair
from tests.simulator.flows import FLOWS
from tests.simulator.processes import ROOT, Children, EnvironmentFailure


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.processes
def test_demo_plays_every_flow_and_leaves_nothing_running():
    port = free_pair()
    command = [sys.executable, "manage.py", "demo", "--once", "--port", str(port)]
    env = {"PATH": os.environ["PATH"], "DEBUG": "true", "DATABASE_URL": "postgres://nobody@127.0.0.1:9/not-this-one"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    played = re.findall(r"^  ok  (.+?) +\d+\.\d s  \S", done.stdout, re.MULTILINE)
    assert played == list(FLOWS)
    assert re.search(rf"^Admin: +http://127.0.0.1:{port}/admin/$", done.stdout, re.MULTILINE)
    assert re.search(r"^Login: +admin / \S+$", done.stdout, re.MULTILINE)
    assert (is_free(port), is_free(port + 1)) == (True, True)


def test_demo_reports_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Port {port} cannot be used .* make demo PORT=") as caught:
            call_command(demo.Command(), port=port)
    assert caught.value.returncode == 1


def test_simulator_reports_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} cannot be used"):
            call_command(simulator.Command(), port=port)


@pytest.fixture
def children(tmp_path):
    some = Children(tmp_path, env={})
    yield some
    some.stop()


def test_ended_child_is_reported_with_its_log(children):
    child = children.start("web", "-c", "print('out of luck'); raise SystemExit(3)")
    child.process.wait(10)
    with pytest.raises(EnvironmentFailure, match=r"(?s)“web” ended unexpectedly with code 3.*web\.log:.*out of luck"):
        children.check()


def test_failed_command_is_reported_with_its_log(children):
    with pytest.raises(EnvironmentFailure, match=r"(?s)“migrate” failed with code 2.*no such table"):
        children.run("migrate", "-c", "import sys; sys.exit(print('no such table') or 2)")


def test_command_returns_its_output_and_has_only_its_environment(children, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    assert children.run("env", "-c", "import os; print(os.environ.get('REDIS_URL'))") == "None\n"


def test_stop_ends_grandchildren(children, tmp_path):
    sleep = "import time; time.sleep(60)"
    spawn = f"subprocess.Popen([sys.executable, '-c', {sleep!r}])"
    child = children.start("family", "-c", f"import subprocess, sys; {spawn}; print('up', flush=True); {sleep}")
    while "up" not in child.log.read_text():
        assert child.process.poll() is None
    children.stop()
    command = ["/bin/ps", "-o", "stat=", "-g", str(child.process.pid)]
    for _try in range(100):  # SIGKILL takes effect a moment later.
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        # Zombies are dead processes whose exit code nobody has read.
        alive = [line for line in listed.stdout.split() if not line.startswith("Z")]
        if not alive:
            break
        time.sleep(0.05)
    assert alive == []
