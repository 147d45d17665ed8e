"""Writes and reads entries of the queue. Only a known task with ids as its arguments is accepted.

django-q2's entries are signed pickles that name any function, and a hook, a group or a chain of more functions. An
attacker with the signing key would run code in the workers, by unpickling already; so only data is unpickled.
"""

import functools
import io
import pickle
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.signing import TimestampSigner
from django_q import core_signing
from django_q.conf import Conf
from django_q.signing import PickleSerializer

from connector_project.core.task_list import TASKS

# What `async_task` writes for us and for the scheduler, whose group is the name of the schedule: its function.
_KEYS = {"id", "name", "func", "args", "kwargs", "started", "cluster", "ack_failure", "group"}
_DATA_CLASSES = {"datetime", "timezone", "timedelta"}
_LONGEST_NAME = 200


class Refused(Exception):
    """The entry is none that we queue."""

    def __init__(self, task: object, reason: str) -> None:
        super().__init__(f"{task}: {reason}")
        self.task, self.reason = repr(task)[:_LONGEST_NAME], reason[:_LONGEST_NAME]


@dataclass(frozen=True)
class Entry:
    """A task to run: a function of the list, and ids."""

    task: str
    args: Sequence[int]
    started: datetime


def dump(task: str, args: tuple[int, ...], *, name: str, queue: str, now: datetime) -> str:
    """Return an entry as django-q2's `async_task` writes it, without its signal and its log line for each task."""
    package = {
        "id": uuid.uuid4().hex,
        "name": name,
        "func": task,
        "args": args,
        "cluster": queue,
        "ack_failure": Conf.ACK_FAILURES,
        "kwargs": {},
        "started": now,
    }
    return _signer(Conf.SECRET_KEY, Conf.PREFIX).sign_object(package, PickleSerializer, compress=Conf.COMPRESSED)


def load(payload: str | bytes) -> Entry:
    """Return what an entry asks for. Raises Refused, and BadSignature if somebody else wrote or changed it."""
    try:
        task = core_signing.loads(payload, key=Conf.SECRET_KEY, salt=Conf.PREFIX, serializer=_DataSerializer)
    except (ValueError, zlib.error) as exc:  # No text, or signed and no package.
        raise Refused("", f"unreadable: {type(exc).__name__}") from exc
    if not isinstance(task, dict):
        raise Refused(task, "no task")
    name = task.get("func")
    if not isinstance(name, str) or name not in TASKS:
        raise Refused(name, "not in the list of tasks")
    if unknown := task.keys() - _KEYS:
        raise Refused(name, f"options {sorted(map(str, unknown))}")
    if task.get("group") not in (None, name):
        raise Refused(name, "a group")
    if task.get("kwargs") or not _are_ids(task.get("args")):
        raise Refused(name, "arguments that are no ids")
    if not isinstance(task.get("started"), datetime) or task["started"].tzinfo is None:
        raise Refused(name, "no time")
    return Entry(name, task["args"], task["started"])


@functools.cache
def _signer(key: str, salt: str) -> TimestampSigner:
    return TimestampSigner(key=key, salt=salt)


def _are_ids(args: object) -> bool:
    return isinstance(args, tuple) and all(isinstance(one, int) for one in args)


class _DataUnpickler(pickle.Unpickler):
    """Builds dates, and values of the types that need no class."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "datetime" and name in _DATA_CLASSES:
            return super().find_class(module, name)
        raise Refused(f"{module}.{name}", "a pickled object")


class _DataSerializer:
    @staticmethod
    def loads(data: bytes) -> Any:
        try:
            return _DataUnpickler(io.BytesIO(data)).load()
        except Refused:
            raise
        except Exception as exc:  # Unpickling damaged data raises anything.
            raise Refused("", f"unreadable: {type(exc).__name__}") from exc
