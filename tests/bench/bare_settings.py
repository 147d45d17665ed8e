"""The product's settings with the minimal view as the only URL."""

from connector_project.settings import *  # noqa: F403 -- all of them

ROOT_URLCONF = "tests.bench.bare"
MIDDLEWARE.clear()  # noqa: F405 -- from the star import
DATABASES["default"]["CONN_HEALTH_CHECKS"] = False  # noqa: F405 -- webhooks do without them, too
