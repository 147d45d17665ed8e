"""Runs the tests: `quick` before each commit, `ci` for every push, `all` with both databases whole and more seeds.

python -m tests.run quick|ci|all [pytest arguments]
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg2

SQLITE = "sqlite:///:memory:"
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
MINIMUM_COVERAGE = 95
# The code that parses and builds what goes over the network is covered completely.
FULLY_COVERED = ("telephony/uis/*", "crm/retailcrm/*", "connector_project/core/http_client.py")
PYTEST = ("-m", "pytest", "-r", "fEs")
IN_PARALLEL = ("-n", "auto")
# These tests start installations and break them: two at once at most, and all tests of one in the same process.
WITH_PROCESSES = ("-n", "2", "--dist", "loadscope", "--timeout=300", "--nomigrations")
# These build the API's schema already when they are collected.
WITHOUT_SCHEMA = "--ignore=tests/flows/test_api_schema.py"
PROCESSES = ("tests/processes", "tests/simulator/test_demo.py", "tests/browser")


@dataclass(frozen=True)
class Step:
    """One command, and the database it works on."""

    name: str
    command: Sequence[str]
    database: str = SQLITE
    takes_arguments: bool = True
    is_beside: bool = False  # runs beside the next step, which leaves a core idle now and then


@dataclass(frozen=True)
class StepResult:
    """The result of a step."""

    name: str
    code: int
    seconds: float
    status: str = ""
    output: str = ""  # of a step beside another

    def __str__(self) -> str:
        return f"{self.status or ('failed' if self.code else 'ok'):<8} {self.seconds / 60:5.1f} min  {self.name}"


def quick() -> list[Step]:
    """Return the steps to run before each commit: under two minutes on two cores."""
    marked = "not slow and not exhaustive and not processes"
    return [_in_one_process("SQLite", marked, "--nomigrations", WITHOUT_SCHEMA)]


def ci() -> list[Step]:
    """Return the steps that every push must pass: under twelve minutes on two cores.

    The installations of the processes' tests run the migrations, on both databases.
    """
    coverage = ("--nomigrations", "--cov", f"--cov-fail-under={MINIMUM_COVERAGE}")
    marked = "sql and not exhaustive and not processes"
    return [
        _in_one_process("SQLite, with coverage", "not exhaustive and not processes", *coverage),
        _full_coverage(),
        _in_one_process("PostgreSQL", marked, "--nomigrations", WITHOUT_SCHEMA, database=POSTGRES),
        _chaos("1"),
        _with_processes("Processes and browser", "processes and not exhaustive"),
    ]


def everything() -> list[Step]:
    """Return the steps with everything, with migrations. One exhaustive case may send a hundred pages."""
    patient = ("--timeout=600",)
    return [
        _in_one_process("SQLite", "not processes", *patient, "--cov", f"--cov-fail-under={MINIMUM_COVERAGE}"),
        _full_coverage(),
        _in_one_process("PostgreSQL", "not processes", *patient, database=POSTGRES),
        _chaos("1-100"),
        _with_processes("Processes and browser", "processes"),
    ]


RUNS = {"quick": quick, "ci": ci, "all": everything}


def main(arguments: Sequence[str]) -> int:
    """Run the steps in turn; return 1 if one failed, 2 for wrong arguments."""
    if not arguments or arguments[0] not in RUNS:
        _say(__doc__ or "")
        return 2
    name, *extra = arguments
    results = _run_all(RUNS[name](), extra)
    _say("\n" + "\n".join(map(str, results)))
    return int(any(one.code for one in results))


def _in_one_process(name: str, marked: str, *options: str, database: str = SQLITE) -> Step:
    return Step(name, [*PYTEST, *IN_PARALLEL, "-m", marked, *options], database)


def _full_coverage() -> Step:
    included = f"--include={','.join(FULLY_COVERED)}"
    return Step(
        "Coverage of the vendors' protocols",
        ["-m", "coverage", "report", included, "--fail-under=100"],
        takes_arguments=False,
    )


def _with_processes(name: str, marked: str) -> Step:
    """Pass the paths, so that the controller of pytest-xdist loads their conftest.py."""
    return Step(name, [*PYTEST, *WITH_PROCESSES, "-m", marked, *PROCESSES])


def _chaos(seeds: str) -> Step:
    """Its clock is simulated: how fast the machine is makes no difference."""
    command = ["-m", "tests.chaos", seeds]
    return Step(f"Chaos, seeds {seeds}", command, takes_arguments=False, is_beside=True)


def _run_all(steps: Sequence[Step], extra: Sequence[str]) -> list[StepResult]:
    """Run the steps in turn, those `is_beside` beside the next one; their output follows its output."""
    results, beside = [], []
    with ThreadPoolExecutor() as pool:
        for step in steps:
            if step.is_beside:
                beside.append(pool.submit(_run, step, extra))
                continue
            _say(f"\n=== {step.name}")
            results.append(_run(step, extra))
            for running in beside:
                results.append(running.result())
                _say(f"\n=== {results[-1].name}\n{results[-1].output}")
            beside.clear()
    return results


def _run(step: Step, extra: Sequence[str]) -> StepResult:
    if step.database == POSTGRES and not _answers(POSTGRES):
        _say(f"skipped: no PostgreSQL answers at {POSTGRES}")
        return StepResult(step.name, code=int(os.environ.get("CI") == "true"), seconds=0, status="skipped")
    command = [sys.executable, *step.command, *(extra if step.takes_arguments else ())]
    started_at = time.monotonic()
    done = subprocess.run(
        command,
        env=_environment(step.database),
        stdout=subprocess.PIPE if step.is_beside else None,
        stderr=subprocess.STDOUT if step.is_beside else None,
        text=True,
        check=False,
    )
    return StepResult(step.name, done.returncode, time.monotonic() - started_at, output=done.stdout or "")


def _environment(database: str) -> dict[str, str]:
    """Return the environment of a step. Bytecode is written: otherwise each worker compiles all tests, for 10 s."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"DATABASE_URL": database}


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 -- for the terminal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
