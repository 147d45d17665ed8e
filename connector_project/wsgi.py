"""The WSGI application for gunicorn."""

import os
from importlib import import_module

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "connector_project.settings")
django.setup(set_prefix=False)

from connector_project.core.request_checks import Handler  # noqa: E402 -- needs the settings

application = Handler()
# Django imports all views with the first request, which would wait for a second.
import_module(settings.ROOT_URLCONF)
