"""A process with the product's settings that runs the tests' commands.

Each line on stdin is a JSON list of a name and its arguments; each line on stdout is the JSON of the answer.
One process for all commands saves a second for each.
"""

import json
import sys
from typing import Any

import django
from django.db import close_old_connections


def main() -> None:
    """Answer until stdin ends."""
    django.setup()
    from tests.processes.remote_commands import COMMANDS  # models need Django to be set up

    for line in sys.stdin:
        name, *arguments = json.loads(line)
        close_old_connections()
        try:
            answer: dict[str, Any] = {"result": COMMANDS[name](*arguments)}
        except Exception as exc:  # noqa: BLE001 -- the caller reports it
            answer = {"failed": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), flush=True)  # noqa: T201 -- the answer


if __name__ == "__main__":
    main()
