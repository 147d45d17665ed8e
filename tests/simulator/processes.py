"""Child processes of the demonstration: each in its own process group, with its own log, and always ended."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG_LINES = 15
GRACE_SECONDS = 6.0
COMMAND_SECONDS = 120
# No other environment variable may change what the demonstration does.
PASSED_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TERM",
    "TZ",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class EnvironmentFailure(Exception):
    """The environment cannot run; the message says why."""


@dataclass
class Child:
    """A process: a server that runs until it is stopped, or a command that ends by itself."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    is_command: bool = False


@dataclass
class Children:
    directory: Path
    env: Mapping[str, str]
    running: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        is_command: bool = False,
    ) -> Child:
        """Start a process; its output goes to {name}.log, and `stdin`, a few lines at most, is its input."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self._env(env),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 -- the demonstration has one thread
            )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:  # It may have ended already.
            process.stdin.write(stdin.encode())
        self.running.append(Child(name, process, log, is_command))
        return self.running[-1]

    def open(self, name: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start a process with pipes for stdin and stdout; the caller must end it."""
        with (self.directory / f"{name}.log").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self._env(None),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 -- the demonstration has one thread
            )

    def run(self, name: str, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
        """Run a command and return its output. Raises EnvironmentFailure when it fails."""
        return self.finish(self.start(name, *arguments, env=env, stdin=stdin, is_command=True))

    def finish(self, child: Child) -> str:
        """Wait for a command to end and return its output. Raises EnvironmentFailure when it fails."""
        try:
            code = child.process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise EnvironmentFailure(
                f"“{child.name}” did not end within {COMMAND_SECONDS} seconds.{self._tail(child)}"
            ) from None
        self.running.remove(child)
        if code:
            raise EnvironmentFailure(f"“{child.name}” failed with code {code}.{self._tail(child)}")
        return child.log.read_text(errors="replace")

    def check(self) -> None:
        """Raise EnvironmentFailure if a server process has ended."""
        for child in self.running:
            code = child.process.poll()
            if code or (code == 0 and not child.is_command):
                raise EnvironmentFailure(
                    f"The process “{child.name}” ended unexpectedly with code {code}.{self._tail(child)}"
                )

    def tails(self) -> str:
        """Return the last lines of every log."""
        return "".join(self._tail(child) for child in self.running)

    def stop(self) -> None:
        """End all processes and their descendants: SIGTERM first, SIGKILL after a grace period."""
        for child in self.running:
            if child.process.poll() is None:
                child.process.terminate()
        ends_at = time.monotonic() + GRACE_SECONDS
        for child in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.05, ends_at - time.monotonic()))
            _kill_group(child.process.pid)
            child.process.wait()
        self.running.clear()

    def kill(self) -> None:
        """Kill all processes and their descendants."""
        for child in self.running:
            _kill_group(child.process.pid)
            child.process.wait()
        self.running.clear()

    def _env(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if name in PASSED_VARIABLES or name.startswith("PYTHON")
        }
        return inherited | dict(self.env) | dict(extra or {})

    def _tail(self, child: Child) -> str:
        lines = child.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        path = os.path.relpath(child.log, ROOT)
        return "".join(f"\n    {line}" for line in [f"{path}:", *lines]) if lines else f"\n    {path} is empty."


def check_port(port: int) -> None:
    """Raise EnvironmentFailure if the port of this machine cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as exc:
            message = f"Port {port} cannot be used ({exc}). Choose others: make demo PORT=9000 uses 9000 and 9001."
            raise EnvironmentFailure(message) from exc


def end_with_parent() -> None:
    """Ask the kernel to end this child if its parent is killed (Linux)."""
    if _libc:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # The group has no process left.
        os.killpg(leader, signal.SIGKILL)
