"""What Sentry really gets, received on a loopback port, when a command dies of an unavailable database."""

import gzip
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

SECRETS = {
    "argument": "SECRETUISTOKEN1234567890",
    "key file": "SECRETCRMKEY1234567890",
    "database": "dbPassw0rd",
    "redis": "redisPassw0rd",
    "mail": "mailPassw0rd",
    "environment": "environmentSecretValue",
}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.received.append(body.decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def sentry():
    """Return a DSN, and the texts received there."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://abc@127.0.0.1:{server.server_port}/1", server.received
    server.shutdown()
    server.server_close()


def environment(dsn):
    passed = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return passed | {
        "SECRET_KEY": SECRETS["environment"],
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_URL": "https://connector.example.com",
        "DATABASE_URL": f"postgres://postgres:{SECRETS['database']}@127.0.0.1:1/none",
        "REDIS_URL": f"redis://:{SECRETS['redis']}@127.0.0.1:1/0",
        "EMAIL_URL": f"smtp+tls://me:{SECRETS['mail']}@127.0.0.1:1",
        "SENTRY_DSN": dsn,
        "ADMIN_PASSWORD": SECRETS["argument"],
    }


@pytest.mark.slow
def test_report_of_a_command_that_died_has_no_secret(sentry, tmp_path):
    dsn, received = sentry
    (tmp_path / "crm").write_text(SECRETS["key file"])
    options = ("--crm-url", "https://daisy.retailcrm.ru", "--crm-key-file", str(tmp_path / "crm"))
    name = f"Daisy --uis-token {SECRETS['argument']}"
    ended = subprocess.run(
        [sys.executable, "manage.py", "add_tenant", name, *options, "--uis-token-file", "-"],
        cwd=Path(__file__).parents[2],
        env=environment(dsn),
        input=SECRETS["argument"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "OperationalError" in ended.stderr
    sent = "".join(received)
    assert "OperationalError" in sent
    for secret in SECRETS.values():
        assert secret not in sent
    reports = [json.loads(line) for line in sent.splitlines() if '"exception"' in line]
    assert len(reports) == 1
    assert not {"server_name", "request"} & reports[0].keys()
    assert "sys.argv" not in reports[0].get("extra", {})
    assert socket.gethostname() not in sent
