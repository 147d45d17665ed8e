"""The product's settings with one address."""

from connector_project.settings import *  # noqa: F403 -- all of them

ROOT_URLCONF = "tests.bench.bare"
MIDDLEWARE.clear()  # noqa: F405 -- comes with the star
