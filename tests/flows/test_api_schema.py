"""The API's responses match its schema. Collecting takes each worker five seconds: `make quick` leaves it out."""

import json

import pytest
import schemathesis
from django.core.cache import cache
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, settings

from connector_project.wsgi import application
from tenants import api_keys
from tests.users import create_user

pytestmark = pytest.mark.one_database

# Its address needs a key, and there is no database when tests are collected.
_schema = SchemaGenerator().get_schema(request=None, public=True)
api = schemathesis.openapi.from_dict(json.loads(OpenApiJsonRenderer().render(_schema, renderer_context={})))
api.app = application
api.config.generation.update(allow_x00=False)  # No text may contain NUL; a schema cannot state that for every text.

SAME_EACH_TIME = {
    "derandomize": True,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@pytest.fixture
def key(tenant):
    cache.clear()  # No requests yet.
    _row, key = api_keys.create(tenant, "x", by=create_user("olga", "Operator"), now=timezone.now())
    return key


def test_address_answers_the_schema_with_a_key(client, key):
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/vnd.oai.openapi+json", "Accept-Language": "ru"}
    assert client.get("/api/v1/schema/", headers=headers).json() == api.raw_schema


@pytest.mark.slow
@api.parametrize()
@settings(max_examples=2, **SAME_EACH_TIME)
def test_api_responses_match_the_schema(case, key):
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"})


@pytest.mark.exhaustive
@api.parametrize()
@settings(max_examples=10, **SAME_EACH_TIME)
def test_api_responses_to_more_requests_match_the_schema(case, key):
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"})
