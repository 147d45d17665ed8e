"""A minimal Django view that looks up a client and inserts one row: the upper limit for receiving webhooks.

It has no middleware, pushes no task, counts no repeats and makes no health check of its connection. It runs under the
product's gunicorn.conf.py, so that the ratio speaks of what the product does for a request, not of the web server.
"""

import hashlib
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.bare_settings")

from django.core.wsgi import get_wsgi_application  # the settings come first
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

INSERT = """
INSERT INTO telephony_notification
    (tenant_id, received_at, event_in_url, via_old_hook, query, body, digest, source, repeats, attempts, event, outcome,
     reason, detail)
SELECT tenant_id, %s, 'bare', false, '', %s, %s, '', 0, 0, '', 'DONE', '', '' FROM tenants_uisconnection
WHERE hook_digest = %s
ON CONFLICT DO NOTHING
"""


@csrf_exempt
def insert(request: HttpRequest, hook: str) -> HttpResponse:
    digest = hashlib.sha256(request.body).hexdigest()
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT, [timezone.now(), request.body.decode(), digest, hashlib.sha256(hook.encode()).hexdigest()]
        )
    return HttpResponse()


urlpatterns = [path("bare/<str:hook>/", insert)]
application = get_wsgi_application()
