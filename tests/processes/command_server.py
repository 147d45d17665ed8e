"""The tests' hand inside an installation: one process with the product's settings that does what it is told.

Each line on stdin is a JSON list of a name and its arguments; each line on stdout is the JSON of the answer. A process
that stays saves a second for every question.
"""

import json
import sys
from typing import Any

import django
from django.db import close_old_connections


def main() -> None:
    """Answer until stdin ends."""
    django.setup()
    from tests.processes.remote_commands import DEEDS  # models are there once Django is set up

    for line in sys.stdin:
        name, *arguments = json.loads(line)
        close_old_connections()
        try:
            said: dict[str, Any] = {"said": DEEDS[name](*arguments)}
        except Exception as exc:  # noqa: BLE001 -- whoever asked shall see it
            said = {"failed": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(said), flush=True)  # noqa: T201 -- the answer


if __name__ == "__main__":
    main()
