"""Makes model instances of rows, as Django does, without what none of our models needs."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, models
from django.db.models import signals
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query import get_related_populators
from django.db.models.query_utils import DeferredAttribute

# With these an instance keeps what its `__dict__` has.
_PLAIN_ATTRIBUTES = (DeferredAttribute, ForeignKeyDeferredAttribute)


def model_reader(compiler: Any) -> Callable[[Sequence[Any]], Any]:
    """Return what makes an instance of a row, as `ModelIterable` does."""
    kind, alias = compiler.klass_info["model"], connection.alias
    fields = compiler.klass_info["select_fields"]
    start, end = fields[0], fields[-1] + 1
    make = _maker(kind, [column.target.attname for column, _sql, _alias in compiler.select[start:end]], alias)
    # The types are of a newer Django.
    populators = get_related_populators(compiler.klass_info, compiler.select, alias)  # type: ignore[call-arg]
    related = [_related_reader(populator, alias) for populator in populators]
    annotations = compiler.annotation_col_map or {}

    def read(row: Sequence[Any]) -> Any:
        made = make(row[start:end])
        for populate in related:
            populate(row, made)
        for name, position in annotations.items():
            setattr(made, name, row[position])
        return made

    return read


def _related_reader(populator: Any, alias: str) -> Callable[[Sequence[Any], Any], None]:
    """Return what a `RelatedPopulator` does with its own related ones."""
    make = _maker(populator.model_cls, populator.init_list, alias)
    start, end, reorder = populator.cols_start, populator.cols_end, populator.reorder_for_init
    inner = [_related_reader(one, alias) for one in populator.related_populators]

    def populate(row: Sequence[Any], parent: Any) -> None:
        values = row[start:end] if reorder is None else reorder(row)
        made = None if values[populator.pk_idx] is None else make(values)
        for further in inner:
            further(row, made)
        populator.local_setter(parent, made)
        if made is not None:
            populator.remote_setter(made, parent)

    return populate


def _maker(kind: type[models.Model], names: Sequence[str], alias: str) -> Callable[[Sequence[Any]], Any]:
    """Return what makes an instance of the values of its columns.

    Columns that are not among them are deferred. All that `Model.__init__` adds to setting attributes is what a
    subclass, a signal or a field with a descriptor of its own may want.
    """
    is_plain = (
        (kind.__init__, kind.from_db.__func__) == (models.Model.__init__, models.Model.from_db.__func__)  # type: ignore[attr-defined]
        and not any(signal.has_listeners(kind) for signal in (signals.pre_init, signals.post_init))
        and all(type(kind.__dict__.get(name)) in _PLAIN_ATTRIBUTES for name in names)
    )
    if not is_plain:
        return functools.partial(kind.from_db, alias, names)

    def make(values: Sequence[Any]) -> Any:
        made = kind.__new__(kind)
        made._state = state = ModelState()
        state.adding, state.db = False, alias
        made.__dict__.update(zip(names, values, strict=True))
        return made

    return make
