"""Statements that PostgreSQL plans once for each connection: for the hottest ones planning takes longer than running.

    _NEWEST = named("SELECT id FROM rows WHERE tenant_id = %(tenant)s ORDER BY id DESC LIMIT 1")
    _NEWEST.execute(cursor, {"tenant": 5})

Other databases run them as they are. The prepared statements belong to the session, so a pooler must not share one
session between clients (docs/running.md).
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db import NotSupportedError
from django.db.backends.utils import CursorWrapper

_PARAMETER, _NAMED = re.compile(r"%[s%]"), re.compile(r"%\((\w+)\)s")
# For who reads what the server does: a statement is named by its verb and its first table.
_TABLE, _LONGEST_NAME = re.compile(r'(?:FROM|INTO|UPDATE)(?: ONLY)? "?(\w+)'), 40
# psycopg2's connection -> the names of its prepared statements
_known: "WeakKeyDictionary[Any, set[str]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Given:
    """Stands for a value that comes with each run. Two of one name are one parameter."""

    name: Any


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement with `%s` for each of `params`: a `Given`, or a constant, with which partial indices can be used."""

    sql: str
    params: Sequence[Any]

    def execute(
        self, cursor: CursorWrapper, values: Mapping[Any, Any], *, is_kept: bool = True, prefix: str = ""
    ) -> None:
        """Run it with these values by the names of its `Given`s, after `prefix`, such as `EXPLAIN`.

        Only what `is_kept` is prepared. Raises what `cursor.execute` raises.
        """
        if not is_kept or cursor.db.vendor != "postgresql":
            params = [values[one.name] if isinstance(one, Given) else one for one in self.params]
            cursor.execute(f"{prefix}{self.sql}", params)
            return
        try:
            cursor.execute(f"{prefix}{self._run(cursor.db.connection)}", [values[one] for one in self._names])
        except NotSupportedError:
            # A migration has changed what its plan returns: the next task, or request, has a new session.
            cursor.db.close_at = 0
            raise

    @functools.cached_property
    def _names(self) -> list[Any]:
        return list(dict.fromkeys(one.name for one in self.params if isinstance(one, Given)))

    def _run(self, session: Any) -> str:
        """Return what runs it in this session, where it is prepared if it was not before."""
        name, run = self._name_and_run
        known = _known.setdefault(session, set())
        if name not in known:
            with session.cursor() as cursor:
                cursor.execute(f"PREPARE {name} AS {self._prepared(cursor)}")
            known.add(name)
        return run

    @functools.cached_property
    def _name_and_run(self) -> tuple[str, str]:
        digest = hashlib.sha256(repr((self.sql, self.params)).encode()).hexdigest()
        verb, table = self.sql.split(maxsplit=1)[0].lower(), _TABLE.search(self.sql)
        name = f"{verb}_{table[1] if table else ''}"[:_LONGEST_NAME] + f"_{digest[:12]}"
        return name, f"EXECUTE {name} ({', '.join(['%s'] * len(self._names))})" if self._names else f"EXECUTE {name}"

    def _prepared(self, cursor: Any) -> str:
        numbers = {name: number for number, name in enumerate(self._names, start=1)}
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
