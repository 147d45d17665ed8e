"""The web process: `gunicorn connector_project.wsgi` reads this file; options on the command line take precedence."""

import os

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from connector_project.core.web_process.log import RedactedLogger
from connector_project.core.web_process.worker import IDLE_SECONDS, BufferedWorker

workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = 8
# Receives requests and sends answers outside the threads, with time-outs: slow clients occupy none.
worker_class = BufferedWorker
# Below the 1024 open files that a service usually may have; beyond it the slowest client is dropped.
worker_connections = 500
# Longer than the proxy keeps its connections (deploy/nginx.conf): a POST on one that we close would be lost.
keepalive = 75

limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190

# The client's address and scheme are read in connector_project.core.middleware, by TRUSTED_PROXIES only.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

logger_class = RedactedLogger
# Nothing uses it, and the second pool on the machine would want the same path.
control_socket_disable = True


def on_starting(server: Arbiter) -> None:
    """Let the parent look at its workers less often: their end is a signal, which wakes it up.

    And use our worker also where an older unit file asks for gthread, whose threads slow clients can occupy."""
    wait = server.wait_for_signals
    server.wait_for_signals = lambda timeout: wait(IDLE_SECONDS if timeout == 1.0 else timeout)
    if server.worker_class is ThreadWorker:
        server.log.warning("worker class gthread replaced by %s", BufferedWorker.__name__)
        server.worker_class = BufferedWorker


def post_worker_init(_worker: Worker) -> None:
    """Start the thread of this process that keeps the log of SQLite short."""
    from connector_project.core import sqlite_log  # noqa: PLC0415 -- it needs the settings

    sqlite_log.start_checkpoints()
