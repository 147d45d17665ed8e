"""Django's deployment checks against the settings of a real installation; a warning is a failure."""

import os
import secrets
import subprocess
import sys

from cryptography.fernet import Fernet

PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": secrets.token_urlsafe(64),
    "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "PUBLIC_URL": "https://connector.example.com",
    "DATABASE_URL": "postgres://connector@127.0.0.1:5432/connector",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "TRUSTED_PROXIES": "127.0.0.1/32",
    "TRUSTED_REMOTE_HOSTS": "",
}

if __name__ == "__main__":
    check = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    sys.exit(subprocess.run(check, env=os.environ | PRODUCTION, check=False).returncode)
