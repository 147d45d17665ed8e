"""The product's settings, in processes whose clock the tests can shift."""

import os
from pathlib import Path

from connector_project.settings import *  # noqa: F403 -- all of them
from tests.simulator import clock

clock.install(Path(os.environ["CLOCK_FILE"]))
