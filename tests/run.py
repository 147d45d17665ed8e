"""The whole suite: on SQLite, again on PostgreSQL where one answers, then with real processes and in a browser.

python -m tests.run [pytest arguments]
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import psycopg2

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
LEAST_COVERAGE = "95"


def main(arguments: Sequence[str]) -> int:
    """Run all of it; return the worst of the exit codes."""
    codes = [_quick("SQLite", "sqlite:///:memory:", ["--cov", f"--cov-fail-under={LEAST_COVERAGE}", *arguments])]
    if _answers(POSTGRES):
        codes.append(_quick("PostgreSQL", POSTGRES, arguments))
    else:
        _say(f"PostgreSQL was skipped: nothing answers at {POSTGRES}")
        codes.append(1 if os.environ.get("CI") == "true" else 0)
    codes.append(_slow())
    return max(codes)


def _quick(name: str, database: str, arguments: Sequence[str]) -> int:
    _say(f"\n=== {name}")
    command = [sys.executable, "-m", "pytest", "-n", "auto", "-m", "not processes", *arguments]
    return subprocess.run(command, env=_environment(database), check=False).returncode


def _slow() -> int:
    """Each of these fills the machine with processes of its own, and brings its own database: one after the other."""
    _say("\n=== Real processes, and a browser")
    command = [sys.executable, "-m", "pytest", "-m", "processes", "--timeout=300"]
    return subprocess.run(command, env=_environment("sqlite:///:memory:"), check=False).returncode


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 -- for the terminal


def _environment(database: str) -> dict[str, str]:
    return os.environ | {"DATABASE_URL": database}


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
