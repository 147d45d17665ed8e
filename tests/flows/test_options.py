"""OPTIONS tells nobody how a machine's address works."""

import re

import pytest

from tests.addresses import templates

MACHINES = ("/hooks/", "/connect/", "/records/", "/health/", "/api/", "/metrics")
pytestmark = pytest.mark.django_db


def test_options_describe_nothing_at_any_address_of_machines(client, tenant):
    paths = [re.sub(r"\{\w+\}", "1", template) for template in templates() if template.startswith(MACHINES)]
    known = [f"/hooks/uis/{tenant.uis.hook}/", f"/hooks/retailcrm/{tenant.uis.hook}/make-call/"]
    assert len(paths) > 15
    for path in [*paths, *known]:
        answer = client.options(path)
        # An API address asks for its key first, the API's page for people to sign in.
        assert (path, answer.status_code) in {(path, status) for status in (302, 401, 404, 405)}
        assert "parses" not in answer.content.decode()
        assert "description" not in answer.content.decode()
