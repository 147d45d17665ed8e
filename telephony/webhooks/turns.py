"""Which notification a worker processes next: the oldest that waits of the tenant whose turn it is.

The task of a stored webhook is only a wake-up: what it processes is read from the rows, so a tenant that floods us
delays nobody else. Each worker process goes round the tenants by itself. There is a wake-up for each row, so none is
forgotten; what a lost one leaves is made up for by the next wake-up, and by the sweep.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from connector_project.core.jobs import CLOCKS_APART, QUEUED_FOR, worker_name
from connector_project.core.prepared_statements import named
from connector_project.core.task_queue import EXPIRES_AFTER, Queue, enqueue
from telephony import task_names

QUEUE: Queue = "fast"
LEASE = timedelta(minutes=1)  # longer than a task of the fast queue may run
# What has waited for longer is left to the sweep, as the queue drops its entry.
LIVE_FOR = EXPIRES_AFTER[QUEUE]
# A worker that has held a notification for longer is dead, or does not wait for the CRM: it counts no more.
HELD_FOR = timedelta(seconds=10)
# A task that goes on for longer leaves the rest to a new one: the queue kills those that run too long.
MAX_SECONDS = 5.0
# A tenant that has had all its workers for so many rows floods us: between two rows its workers rest for as long as the
# last one took, so that half of the processors is left to others. A CRM takes no more pop-ups a second anyway.
FLOOD_ROWS, LONGEST_REST_SECONDS = 20, 0.1
# After a wake-up for a tenant that has its share, of which thousands may follow; another tenant's ring waits so long.
PAUSE_SECONDS = 0.005
# The wake-up that belongs to no notification: it goes on until none waits.
UNTIL_NONE_WAITS = 0
# More than there are workers: a try fails only if another worker was faster.
MAX_TRIES = 100

_WAITS = "claim_token IS NULL AND outcome = 'RECEIVED'"
_IS_LIVE = f"{_WAITS} AND received_at > %(since)s AND next_attempt_at <= %(until)s"
# COALESCE keeps PostgreSQL from looking for one row among all that wait, where it believes that there are few.
_THIS_WAITS = "claim_token IS NULL AND COALESCE(outcome, '') = 'RECEIVED'"
# Ordered by all columns of the index of what waits, so that no other index seems to do.
_NEXT_TENANT = f"""
    (SELECT tenant_id FROM telephony_notification WHERE {_WAITS} AND tenant_id > {{after}}
     ORDER BY tenant_id, received_at, id LIMIT 1)
"""  # noqa: S608 -- nothing of it is input
_COUNT_HELD = """
    (SELECT COUNT(*) FROM telephony_notification held
     WHERE held.tenant_id = {row}.tenant_id AND held.id <> {row}.id
       AND held.claim_token IS NOT NULL AND held.next_attempt_at > %(held_until)s)
"""
# The conditions are checked again for the chosen row: another worker may have claimed, and even finished it.
_CLAIM = named(f"""
UPDATE telephony_notification
SET claim_token = %(token)s, claimed_by = %(worker)s, attempts = attempts + 1, next_attempt_at = %(lease)s
WHERE id = (
    SELECT id FROM telephony_notification
    WHERE tenant_id = COALESCE({_NEXT_TENANT.format(after="%(after)s")}, {_NEXT_TENANT.format(after="0")})
      AND {_IS_LIVE}
    ORDER BY received_at, id LIMIT 1
) AND {_THIS_WAITS}
  AND {_COUNT_HELD.format(row="telephony_notification")} < %(share)s
  AND (%(own)s = {UNTIL_NONE_WAITS}
       OR EXISTS (SELECT 1 FROM telephony_notification WHERE id = %(own)s AND {_THIS_WAITS}))
RETURNING id, tenant_id, {_COUNT_HELD.format(row="telephony_notification")}
""")  # noqa: S608 -- as above
_OWN_WAITS = named(f"SELECT 1 FROM telephony_notification WHERE id = %(own)s AND {_THIS_WAITS}")  # noqa: S608 -- as above
# One step for each tenant, however many rows each of them has.
_FIND_TENANT = named(f"""
WITH RECURSIVE turn(tenant_id) AS (
    SELECT {_NEXT_TENANT.format(after="0")}
    UNION ALL SELECT {_NEXT_TENANT.format(after="turn.tenant_id")} FROM turn WHERE turn.tenant_id IS NOT NULL
), found(tenant_id, id) AS (
    SELECT tenant_id, (SELECT id FROM telephony_notification waiting
        WHERE waiting.tenant_id = turn.tenant_id AND {_IS_LIVE} ORDER BY received_at, id LIMIT 1)
    FROM turn WHERE tenant_id IS NOT NULL
)
SELECT tenant_id FROM found WHERE id IS NOT NULL AND {_COUNT_HELD.format(row="found")} < %(share)s
ORDER BY tenant_id <= %(after)s, tenant_id LIMIT 1
""")  # noqa: S608 -- as above

_last_tenant_id = 0  # how far this process has come in its way round the tenants


@dataclass(frozen=True)
class Claim:
    """A notification that this worker holds; `fills_share`: its tenant has no more workers now."""

    pk: int
    token: uuid.UUID = field(repr=False)
    fills_share: bool


def work_off(notification_id: int, handle: Callable[[Claim], None]) -> None:
    """Process what waits, in turns, until the notification that the wake-up was queued for waits no more.

    Usually that is the only one; others come first if their own wake-ups were lost, or are behind. Wake-ups for a
    tenant that has its share of the workers find nothing, so who took the last of the share goes on until nothing
    waits.
    """
    own, ends_at, rows = notification_id, time.monotonic() + MAX_SECONDS, 0
    while claim := claim_next(own, now=timezone.now()):
        started_at = time.monotonic()
        if claim.fills_share:
            own, rows = UNTIL_NONE_WAITS, rows + 1
        try:
            handle(claim)
        except BaseException:
            if own == UNTIL_NONE_WAITS:
                _wake_up()
            raise
        if claim.pk == own:
            return None
        if time.monotonic() > ends_at:
            return _wake_up()
        if rows > FLOOD_ROWS and claim.fills_share:
            time.sleep(min(time.monotonic() - started_at, LONGEST_REST_SECONDS))
    return None


def claim_next(own: int = UNTIL_NONE_WAITS, *, now: datetime) -> Claim | None:
    """Claim the oldest live notification of the next tenant that has not its share of the workers; None if none waits.

    Also None if the notification `own` waits no more. Of two workers that want the same row one gets it, and the other
    tries again: so a share is never exceeded.
    """
    global _last_tenant_id
    values, after = _values(own, now), _last_tenant_id
    for _try in range(MAX_TRIES):
        if claimed := _CLAIM.fetchone(values | {"after": after}):
            pk, _last_tenant_id, held = claimed
            return Claim(pk, uuid.UUID(str(values["token"])), fills_share=held + 1 >= values["share"])
        if own != UNTIL_NONE_WAITS and not _OWN_WAITS.fetchone(values):
            return None
        # Nothing waits, the next tenant may have no worker now, or another worker was faster.
        found = _FIND_TENANT.fetchone(values | {"after": after})
        if found is None:
            if own != UNTIL_NONE_WAITS:
                time.sleep(PAUSE_SECONDS)
            return None
        after = found[0] - 1
    return None


def workers_of_one_tenant() -> int:
    """Return how many workers one tenant may have: half, so that a flood, or a slow CRM, leaves the rest to others."""
    workers: int = settings.Q_CLUSTER["ALT_CLUSTERS"][QUEUE]["workers"]
    return max(1, workers // 2)


def _values(own: int, now: datetime) -> dict[str, Any]:
    moments = {
        "since": now - LIVE_FOR,
        "until": now + QUEUED_FOR + CLOCKS_APART,
        "lease": now + LEASE,
        "held_until": now + LEASE - HELD_FOR,
    }
    adapted = {name: connection.ops.adapt_datetimefield_value(moment) for name, moment in moments.items()}
    token = uuid.uuid4()
    return adapted | {
        "own": own,
        "token": token if connection.features.has_native_uuid_field else token.hex,
        "worker": worker_name(),
        "share": workers_of_one_tenant(),
    }


def _wake_up() -> None:
    with transaction.atomic():
        enqueue(task_names.PROCESS_NOTIFICATION, UNTIL_NONE_WAITS, queue=QUEUE)
