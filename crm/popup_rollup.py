"""The roll-up of pop-ups: their latencies by tenant and day, and by day."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import Combinable

from connector_project.core.db_functions import DurationCentiseconds
from connector_project.core.rollups import Cells, DailyRollup
from connector_project.core.row_triggers import DeltaTrigger
from crm.models import DailyPopups, DailyPopupsOfAll, Popup, PopupDelta
from crm.models.daily_popups import HISTOGRAMS, LatencyPart

_REFUSED = "refused"

Key = tuple[Any, ...]
Changes = Counter[LatencyPart]


class PopupRollup(DailyRollup):
    """Pop-ups that the CRM has shown or rejected."""

    name = "popups"
    trigger = DeltaTrigger(
        source=Popup, deltas=PopupDelta, counted=Q(accepted_at__isnull=False) | Q(state=Popup.State.FAILED)
    )
    moment = "received_at"

    def group(self, rows: models.QuerySet[Any], zone: Combinable) -> models.QuerySet[Any]:
        since = {
            "since_ringing": F("accepted_at") - F("ringing_at"),
            "since_receipt": F("accepted_at") - F("received_at"),
        }
        took = {name: DurationCentiseconds(duration) for name, duration in since.items()}
        found: models.QuerySet[Any] = rows.annotate(**took).values_list("tenant", "day", *HISTOGRAMS)
        return found

    def cells(self, groups: Iterable[tuple[Any, ...]]) -> Cells:
        found: Cells = Counter()
        for tenant, day, *latencies, count in groups:
            if None in latencies:
                found[DailyPopups, (tenant, day), (_REFUSED, "")] += count
                continue
            for name, latency in zip(HISTOGRAMS, latencies, strict=True):
                found[DailyPopups, (tenant, day), (name, str(latency))] += count
        return found

    def stored(self, tenant_id: int, days: Q) -> Cells:
        found: Cells = Counter()
        for row in DailyPopups.objects.filter(days, tenant=tenant_id):
            found.update({(DailyPopups, (tenant_id, row.day), part): n for part, n in row.parts().items()})
        return found

    def add(self, cells: Cells) -> None:
        of_tenants: defaultdict[Key, Changes] = defaultdict(Counter)
        of_all: defaultdict[Key, Changes] = defaultdict(Counter)
        for (_model, key, part), number in cells.items():
            of_tenants[key][part] += number
            of_all[key[1:]][part] += number
        _add(DailyPopups, ("tenant_id", "day"), of_tenants)
        _add(DailyPopupsOfAll, ("day",), of_all)


def _add(model: Any, keys: tuple[str, ...], changes: dict[Key, Changes]) -> None:
    """Add to the rows with these keys, which are created if needed; delete those that count nothing then."""
    chosen = {f"{name}__in": {key[number] for key in changes} for number, name in enumerate(keys)}
    rows = {tuple(getattr(row, name) for name in keys): row for row in model.objects.filter(**chosen)}
    changed: list[Any] = []
    empty: list[Any] = []
    for key, change in sorted(changes.items()):
        row = rows.get(key) or model(**dict(zip(keys, key, strict=True)))
        for part, number in change.items():
            row.add(part, number)
        (empty if row.is_empty else changed).append(row)
    model.objects.filter(pk__in=[row.pk for row in empty if row.pk]).delete()
    for row in changed:
        row.pk = None  # The other columns are the key of the statement.
    names = [*HISTOGRAMS, _REFUSED]
    model.objects.bulk_create(changed, update_conflicts=True, unique_fields=keys, update_fields=names, batch_size=200)


POPUPS = PopupRollup()
