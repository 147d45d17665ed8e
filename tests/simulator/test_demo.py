"""`make demo`: everything in real processes, from an empty directory to the last walk."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest
from django.core.management import CommandError, call_command

from tests.ports import free_pair
from tests.simulator.flows import WALKS
from tests.simulator.processes import ROOT, Children, Stopped


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.processes
def test_demo_plays_every_walk_and_leaves_nothing_running():
    port = free_pair()
    command = [sys.executable, "manage.py", "demo", "--once", "--port", str(port)]
    env = {"PATH": os.environ["PATH"], "DEBUG": "true", "DATABASE_URL": "postgres://nobody@127.0.0.1:9/not-this-one"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    walked = re.findall(r"^  ok  (.+?) +\d+\.\d s  \S", done.stdout, re.MULTILINE)
    assert walked == list(WALKS)
    assert re.search(rf"^Admin: +http://127.0.0.1:{port}/admin/$", done.stdout, re.MULTILINE)
    assert re.search(r"^Login: +admin / \S+$", done.stdout, re.MULTILINE)
    assert (is_free(port), is_free(port + 1)) == (True, True)


def test_demo_names_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Port {port} cannot be used .* make demo PORT=") as caught:
            call_command("demo", port=port)
    assert caught.value.returncode == 1


def test_simulator_names_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} cannot be used"):
            call_command("simulator", port=port)


@pytest.fixture
def children(tmp_path):
    some = Children(tmp_path, env={})
    yield some
    some.stop()


def test_child_that_ends_is_told_of_with_its_last_words(children):
    child = children.start("web", "-c", "print('out of luck'); raise SystemExit(3)")
    child.process.wait(10)
    with pytest.raises(Stopped, match=r"(?s)“web” ended by itself with code 3.*web\.log:.*out of luck"):
        children.check()


def test_command_that_fails_is_told_of_with_its_last_words(children):
    with pytest.raises(Stopped, match=r"(?s)“migrate” failed with code 2.*no such table"):
        children.run("migrate", "-c", "import sys; sys.exit(print('no such table') or 2)")


def test_command_returns_what_it_printed_and_sees_only_its_environment(children, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    assert children.run("env", "-c", "import os; print(os.environ.get('REDIS_URL'))") == "None\n"


def test_stop_ends_grandchildren(children, tmp_path):
    sleep = "import time; time.sleep(60)"
    spawn = f"subprocess.Popen([sys.executable, '-c', {sleep!r}])"
    child = children.start("family", "-c", f"import subprocess, sys; {spawn}; print('up', flush=True); {sleep}")
    while "up" not in child.log.read_text():
        assert child.process.poll() is None
    children.stop()
    look = ["/bin/ps", "-o", "stat=", "-g", str(child.process.pid)]
    for _look in range(100):  # A kill is heard by whom it is meant for, but a moment later.
        said = subprocess.run(look, capture_output=True, text=True, check=False)
        # Whoever is left of the group is dead, and waits for somebody to read how it ended.
        alive = [line for line in said.stdout.split() if not line.startswith("Z")]
        if not alive:
            break
        time.sleep(0.05)
    assert alive == []
