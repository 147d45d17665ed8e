"""A real nginx with deploy/nginx.conf, on free ports and with a certificate of its own."""

import datetime
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ports import free_port
from tests.processes.servers import find
from tests.processes.web_server import HOST, TIMEOUT_SECONDS
from tests.simulator.processes import ROOT, end_with_parent

CONFIGURATION = ROOT / "deploy" / "nginx.conf"
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass
class Nginx:
    """nginx as deploy/nginx.conf configures it; only ports, paths and the certificate differ."""

    directory: Path
    programs: int
    pages: int
    port: int = field(default_factory=free_port)
    plain_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it. Raises Missing, CalledProcessError."""
        program = find("nginx", Path("/usr/sbin"))
        self.directory.mkdir()
        make_certificate(self.directory)
        (self.directory / "nginx.conf").write_text(self._main())
        command = [program, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"), "-e", "stderr"]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        self.process = subprocess.Popen(command, preexec_fn=end_with_parent)  # noqa: PLW1509 -- the tests have one thread
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while not _listens(self.port):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < ends_at, self.log()
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    @property
    def certificate(self) -> Path:
        return self.directory / "fullchain.pem"

    def log(self) -> str:
        return (self.directory / "connector.log").read_text() + (self.directory / "connector-error.log").read_text()

    def log_with(self, words: Collection[str]) -> str:
        """Return the log when all these words are in it: a request is logged after its answer."""
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while missing := set(words) - set((log := self.log()).replace('"', " ").split()):
            assert time.monotonic() < ends_at, missing
            time.sleep(0.05)
        return log

    def body_files(self) -> list[str]:
        """Return what nginx wrote of bodies."""
        return [path.name for path in (self.directory / "client_body").rglob("*") if path.is_file()]

    def _main(self) -> str:
        included = CONFIGURATION.read_text()
        for old, new in {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "listen 80": f"listen 127.0.0.1:{self.plain_port}",
            "127.0.0.1:8001;": f"127.0.0.1:{self.programs};",
            "127.0.0.1:8002;": f"127.0.0.1:{self.pages};",
            "/etc/ssl/connector": str(self.directory),
            "/var/log/nginx": str(self.directory),
        }.items():
            assert old in included, old
            included = included.replace(old, new)
        paths = "\n".join(f"{name}_temp_path {self.directory}/{name};" for name in FOLDERS)
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        return (
            f"{user}\ndaemon off;\nworker_processes 1;\npid {self.directory}/pid;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{\n{paths}\ninclude /etc/nginx/mime.types;\n{included}\n}}\n"
        )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_certificate(directory: Path) -> None:
    """Write a self-signed certificate for the host, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    (directory / "privkey.pem").write_bytes(text)
