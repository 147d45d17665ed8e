"""The WSGI application for gunicorn."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector_project.settings")
django.setup(set_prefix=False)

from connector_project.core.request_checks import Handler  # noqa: E402 -- needs the settings

application = Handler()
