"""The roll-up of calls: outcomes by tenant and day, by hour, and by owner."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.expressions import Combinable

from connector_project.core import rollup_rows
from connector_project.core.db_functions import LocalHour
from connector_project.core.rollups import Cells, DailyRollup
from connector_project.core.row_triggers import DeltaTrigger
from telephony.calls import outcomes
from telephony.models import Call, CallDelta, DailyCalls, DailyEmployeeCalls, Direction
from telephony.models.daily_calls import HOUR_COLUMNS

_KEYS: dict[type[models.Model], tuple[str, ...]] = {
    DailyCalls: ("tenant", "day"),
    DailyEmployeeCalls: ("tenant", "day", "employee_key"),
}


class CallRollup(DailyRollup):
    """Calls without internal ones. How a call ended is decided by `outcomes`, for calls and deltas alike."""

    name = "calls"
    trigger = DeltaTrigger(source=Call, deltas=CallDelta, counted=Q(is_internal=False))
    moment = "started_at"

    def group(self, rows: models.QuerySet[Any], zone: Combinable) -> models.QuerySet[Any]:
        ended: models.QuerySet[Any] = rows.annotate(hour=LocalHour("started_at", zone), outcome=outcomes.OUTCOME)
        return ended.values_list("tenant", "day", "hour", "employee_id", "direction", "outcome")

    def cells(self, groups: Iterable[tuple[Any, ...]]) -> Cells:
        found: Cells = Counter()
        for tenant, day, hour, employee, direction, outcome, count in groups:
            column = outcome or "unknown"
            found[DailyCalls, (tenant, day), column] += count
            if direction == Direction.IN:
                found[DailyEmployeeCalls, (tenant, day, employee or 0), column] += count
                if (column, hour) in HOUR_COLUMNS:
                    found[DailyCalls, (tenant, day), HOUR_COLUMNS[column, hour]] += count
        return found

    def stored(self, tenant_id: int, days: Q) -> Cells:
        found: Cells = Counter()
        for model, keys in _KEYS.items():
            columns = [field.name for field in model._meta.concrete_fields if not field.primary_key]
            numbers = [name for name in columns if name not in keys]
            rows = model._default_manager.filter(days, tenant=tenant_id).order_by()
            for row in rows.values_list(*keys, *numbers):
                key, values = row[: len(keys)], row[len(keys) :]
                found.update({(model, key, name): n for name, n in zip(numbers, values, strict=True) if n})
        return found

    def add(self, cells: Cells) -> None:
        for model, keys in _KEYS.items():
            rows: defaultdict[tuple[Any, ...], dict[str, int]] = defaultdict(dict)
            for (stored_in, key, column), number in cells.items():
                if stored_in is model and number:
                    rows[key][str(column)] = number
            rollup_rows.add(model, keys, rows)


CALLS = CallRollup()
