"""The whole suite: on SQLite, and again on PostgreSQL where one answers. `python -m tests.run [pytest arguments]`."""

import os
import subprocess
import sys
from collections.abc import Sequence

import psycopg2

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
LEAST_COVERAGE = "95"


def main(arguments: Sequence[str]) -> int:
    """Run both; return the worse of the two exit codes."""
    codes = [_suite("SQLite", "sqlite:///:memory:", ["--cov", f"--cov-fail-under={LEAST_COVERAGE}", *arguments])]
    if _answers(POSTGRES):
        codes.append(_suite("PostgreSQL", POSTGRES, arguments))
    else:
        print(f"PostgreSQL was skipped: nothing answers at {POSTGRES}", flush=True)  # noqa: T201 -- for the terminal
        codes.append(1 if os.environ.get("CI") == "true" else 0)
    return max(codes)


def _suite(name: str, database: str, arguments: Sequence[str]) -> int:
    print(f"\n=== {name}", flush=True)  # noqa: T201 -- for the terminal
    quick = [sys.executable, "-m", "pytest", "-n", "auto", "-m", "not processes", *arguments]
    code = subprocess.run(quick, env=_environment(database), check=False).returncode
    # Each of these fills the machine with processes of its own: one after the other.
    slow = [sys.executable, "-m", "pytest", "-m", "processes", "--timeout=300", "-p", "no:randomly"]
    return max(code, subprocess.run(slow, env=_environment(database), check=False).returncode)


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
