"""Statements that PostgreSQL plans once for each session: for the hottest ones planning takes longer than running.

    _NEWEST = named("SELECT id FROM rows WHERE tenant_id = %(tenant)s ORDER BY id DESC LIMIT 1")
    row = _NEWEST.fetchone({"tenant": 5})

Other databases run them as they are. The prepared statements belong to the session, so a pooler must not share one
session between clients (docs/running.md).
"""

import functools
import hashlib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

_PARAMETER, _NAMED = re.compile(r"%[s%]"), re.compile(r"%\((\w+)\)s")
# For who reads what the server does: a statement is named by its verb and its first table.
_TABLE, _LONGEST_NAME = re.compile(r'(?:FROM|INTO|UPDATE)(?: ONLY)? "?(\w+)'), 40
# psycopg2's connection -> the names of its prepared statements
_known: "WeakKeyDictionary[Any, set[str]]" = WeakKeyDictionary()
fetch_all, fetch_one, row_count = (
    operator.methodcaller("fetchall"),
    operator.methodcaller("fetchone"),
    operator.attrgetter("rowcount"),
)


@dataclass(frozen=True)
class Given:
    """Stands for a value that comes with each run. Two of one name are one parameter."""

    name: Any


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement with `%s` for each of `params`: a `Given`, or a constant, with which partial indices can be used.

    One that is not `kept` is sent as it is each time: a session keeps what it has prepared.
    """

    sql: str
    params: Sequence[Any]
    is_kept: bool = True

    def fetchone(self, values: Mapping[Any, Any]) -> Any:
        """Run it with the values of its `Given`s, and return the first row; None without one."""
        return self.run([values[name] for name in self.names], fetch_one)

    def run(self, values: Sequence[Any], result: Callable[[Any], T], *, prefix: str = "") -> T:
        """Run it with the values of `names`, in that order, after `prefix`, such as `EXPLAIN`.

        Return what `result` takes from the cursor. Raises what `cursor.execute` raises.
        """
        database = connections[DEFAULT_DB_ALIAS]
        if not self.is_kept or database.vendor != "postgresql":
            given = dict(zip(self.names, values, strict=True))
            params = [given[one.name] if isinstance(one, Given) else one for one in self.params]
            with database.cursor() as cursor:
                cursor.execute(f"{prefix}{self.sql}", params)
                return result(cursor)
        try:
            if _may_be_asked_directly(database):
                with database.wrap_database_errors, database.create_cursor() as cursor:
                    cursor.execute(prefix + self._ready(database), values)
                    return result(cursor)
            with database.cursor() as cursor:
                cursor.execute(prefix + self._ready(database), values)
                return result(cursor)
        except NotSupportedError:
            # A migration has changed what its plan returns: the next task, or request, has a new session.
            database.close_at = 0
            raise

    @functools.cached_property
    def names(self) -> list[Any]:
        """The names of its `Given`s, each once."""
        return list(dict.fromkeys(one.name for one in self.params if isinstance(one, Given)))

    def _ready(self, database: BaseDatabaseWrapper) -> str:
        """Return what runs it in this session, where it is prepared if it was not before."""
        (name, run), session = self._name_and_run, database.connection
        if (known := _known.get(session)) is None:
            known = _known[session] = set()
        if name not in known:
            with database.wrap_database_errors, session.cursor() as cursor:
                cursor.execute(f"PREPARE {name} AS {self._prepared(cursor)}")
            known.add(name)
        return run

    @functools.cached_property
    def _name_and_run(self) -> tuple[str, str]:
        digest = hashlib.sha256(repr((self.sql, self.params)).encode()).hexdigest()
        verb, table = self.sql.split(maxsplit=1)[0].lower(), _TABLE.search(self.sql)
        name = f"{verb}_{table[1] if table else ''}"[:_LONGEST_NAME] + f"_{digest[:12]}"
        return name, f"EXECUTE {name} ({', '.join(['%s'] * len(self.names))})" if self.names else f"EXECUTE {name}"

    def _prepared(self, cursor: Any) -> str:
        numbers = {name: number for number, name in enumerate(self.names, start=1)}
        params = iter(self.params)

        def written(found: "re.Match[str]") -> str:
            if found[0] == "%%":
                return "%"
            param = next(params)
            return f"${numbers[param.name]}" if isinstance(param, Given) else cursor.mogrify("%s", [param]).decode()

        return _PARAMETER.sub(written, self.sql)


def named(sql: str) -> Statement:
    """Return a statement with `%(name)s` for each value; a literal `%` is written twice."""
    return Statement(_NAMED.sub("%s", sql), [Given(name) for name in _NAMED.findall(sql)])


def _may_be_asked_directly(database: BaseDatabaseWrapper) -> bool:
    """Whether Django's cursor would add nothing to the driver's but its cost, as large as that of a short statement.

    It connects, checks the connection's health, logs queries, calls wrappers, and refuses to go on after an error.
    """
    return (
        database.connection is not None
        and (database.health_check_done or not database.health_check_enabled)  # type: ignore[attr-defined]
        and not database.queries_logged
        and not database.execute_wrappers
        and not database.needs_rollback
    )
