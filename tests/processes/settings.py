"""The product's settings, in processes whose clock the tests can turn."""

import os
from pathlib import Path

from connector_project.settings import *  # noqa: F403 -- all of them
from tests.simulator import clock

clock.follow(Path(os.environ["CLOCK_FILE"]))
