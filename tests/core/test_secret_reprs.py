"""No key stands in the text of an object, which ends up in messages, tracebacks and logs; nor in an argument list."""

import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import connector_project
import crm
import telephony
import tenants
from connector_project.core.secret_redaction import is_secret_name
from telephony.uis.types import CallEvent

# What is named like a secret and is none: the key that an event is stored once by; the token of an erased number.
NO_SECRETS = {"CallEvent.key", "Unreadable.key", "Number.token", "Reading.keys"}
# Addresses with a secret part.
SECRET_ADDRESSES = re.compile(r"(?:base|call|status|account)_url$|_token$|_key$")
DOCUMENTS = [Path("README.md"), Path("CONTRIBUTING.md"), Path(".env.example"), *Path("docs").rglob("*.md")]


def dataclasses_of_ours():
    for package in (connector_project, crm, telephony, tenants):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" in found.name or found.name.endswith(("wsgi", "settings")):
                continue
            module = importlib.import_module(found.name)
            yield from (one for one in vars(module).values() if isinstance(one, type) and dataclasses.is_dataclass(one))


def test_no_object_shows_its_key():
    shown = {
        f"{kind.__name__}.{field.name}"
        for kind in dataclasses_of_ours()
        for field in dataclasses.fields(kind)
        if field.repr and (is_secret_name(field.name) or SECRET_ADDRESSES.search(field.name))
    }
    inherited = {f"{kind.__name__}.key" for kind in dataclasses_of_ours() if issubclass(kind, CallEvent)}
    assert shown - NO_SECRETS - inherited == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_no_command_of_the_documentation_has_a_secret_among_its_arguments(path):
    lines = re.findall(r"^(?: {4,}|\$ )(.*)$|`([^`\n]+)`", path.read_text(encoding="utf-8"), re.MULTILINE)
    commands = [
        line
        for pair in lines
        for line in pair
        if re.match(r"(?:curl|pg_dump|psql|redis-cli|python|\S*/python)\b", line)
    ]
    assert [
        line
        for line in commands
        if re.search(r"\$\{?\w*(?:KEY|TOKEN|SECRET|PASSWORD|_URL)|\w+://[^/\s]*:[^/\s]*@", line)
    ] == []
