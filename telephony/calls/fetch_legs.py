"""Fetches the legs of answered calls from UIS in batches per tenant, and waits for recordings to link at UIS."""

import functools
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from structlog.contextvars import bind_contextvars

from connector_project.core import http_client
from connector_project.core.encrypted_fields import Undecryptable
from telephony import api_quota, client_factory, outgoing_requests
from telephony.calls import (
    attribution,
    legs_news,
    legs_pace,
    pipeline,
    recording_selection,
    report_facts,
    steps,
    upload_waits,
)
from telephony.calls.evidence import load, updated
from telephony.calls.legs import record_ids
from telephony.calls.resolution import ResolutionStatus
from telephony.calls.sources import Sources
from telephony.calls.steps import Denied, Failed, Moved, Outcome, Postponed, Retried, Unavailable, Unexpected
from telephony.models import Call, FailureReason, State, Step, call_statements
from telephony.uis import errors
from telephony.uis.call_facts import REPORT_COLUMNS
from telephony.uis.client import UisClient
from telephony.uis.types import CallLeg, EndedEvent
from tenants.models import UisConnection
from tenants.transfer_rules import RuleSet

BATCH = 100
# From this attempt on the session's report row is requested too, and legs without a talk are accepted.
WAIT_FOR_LEGS_ATTEMPTS = 4
# From this attempt on, some twenty minutes after the first, a call that UIS shows in no report is decided by what its
# notifications tell, if that is enough.
ASKED_ATTEMPTS = 6


def fetch_due(tenant_id: int, *, now: datetime) -> None:
    """Fetch the legs of one tenant's due calls, live ones first; queue the rest, if there is more.

    Live calls share their request with old ones, so that these have their turns however much is going on.
    """
    is_low_priority = Call.objects.due_priority(tenant_id, State.FETCHING_LEGS, now=now)
    if is_low_priority is None:
        return
    tenant = call_statements.TENANT.get(tenant=tenant_id)
    if not legs_pace.try_acquire_slot(tenant.uis, is_low_priority=is_low_priority, now=now):
        return
    # Old calls do not use the reserve of API points.
    has_points = not api_quota.seconds_to_wait(tenant.uis.data_limits, is_live=False, now=now)
    only = None if has_points else is_low_priority
    batch = Call.objects.claim(
        tenant_id, State.FETCHING_LEGS, limit=BATCH, tenant=tenant, is_low_priority=only, now=now
    )
    if batch:
        with outgoing_requests.kept(tenant_id, sessions=[call.session_id for call in batch]):
            _fetch(batch, now=now)
    if len(batch) == BATCH or not is_low_priority:
        steps.enqueue_if_due(tenant_id, State.FETCHING_LEGS, now=now)


def _fetch(claimed: list[Call], *, now: datetime) -> None:
    """Advance claimed calls of one tenant, or store on each the reason why not."""
    started, tenant = time.monotonic(), claimed[0].tenant
    bind_contextvars(tenant=tenant.slug)
    batch, window = claimed, tenant.upload_window_start(now=now)
    if any(call.started_at < window for call in claimed):
        batch = steps.skip_expired(claimed, before=window, now=now)
    if not batch:
        return tenant.uis.return_half_open()
    found, without_talk = None, [call for call in batch if call.is_lost is not False]  # by their notifications
    try:
        found = _UisReply.fetch_batch(batch, _client(batch), now=now)
    except http_client.RemoteError as exc:
        tenant.uis.record_denial(exc, now=now)
        results: steps.Results = [(call, _on_error(call, exc, uis=tenant.uis, now=now)) for call in batch]
    else:
        if found.denied:
            tenant.uis.record_denial(found.denied, now=now)
        known, choices = Sources.load(tenant, [call.session_id for call in batch]), tenant.rule_set
        results = steps.decide_each(
            batch, functools.partial(_evaluate, found=found, known=known, choices=choices, now=now)
        )
    steps.finish(results, Step.FETCH_LEGS, started=started, now=now, details=pipeline.owner_rules(batch))
    if without_talk and found:
        legs_news.tell(without_talk, shown={*found.legs, *found.rows}, now=now)
    return None


def _client(batch: Sequence[Call]) -> UisClient:
    """Return a client; it may use the reserve of API points if a live call is in the batch."""
    return client_factory.uis_client(batch[0].tenant.uis, is_live=_has_live(batch))


def _has_live(batch: Sequence[Call]) -> bool:
    return not all(call.is_low_priority for call in batch)


class _UisReply:
    """UIS's answer for a batch."""

    def __init__(
        self,
        legs: Sequence[CallLeg] = (),
        rows: Sequence[EndedEvent] = (),
        *,
        denied: http_client.AccessDenied | None = None,
    ) -> None:
        self.denied = denied  # why there are no report rows
        self.legs: dict[int, list[CallLeg]] = {}
        for leg in legs:
            self.legs.setdefault(leg.session_id, []).append(leg)
        self.rows = {row.session_id: row for row in rows}

    @classmethod
    def fetch_batch(cls, batch: list[Call], client: UisClient, *, now: datetime) -> "_UisReply":
        """Request all legs at once, then the report rows of calls that lack something."""
        since = min(call.started_at for call in batch)
        till = now if _has_live(batch) else max(call.ended_at for call in batch)
        legs = client.call_legs([call.session_id for call in batch], since=since, till=till)
        found = cls(legs)
        incomplete = [
            call.session_id for call in batch if found.wants_row(call) or report_facts.is_awaited(call, now=now)
        ]
        denied, rows = None, []
        if incomplete:
            legs_pace.take_next_slot(batch[0].tenant.uis)
            try:
                rows = client.calls_by_session(incomplete, since=since, till=till, columns=_columns(batch))
            except http_client.AccessDenied as exc:
                denied = exc  # The other calls do not need this report.
        if not client.supports_in_operator and batch[0].tenant.uis.supports_in_operator:
            UisConnection.objects.filter(tenant=batch[0].tenant).update(supports_in_operator=False)
        return cls(legs, rows, denied=denied)

    def wants_row(self, call: Call) -> bool:
        """Whether the report row is asked for: it has what the legs lack, and a recording of all talks.

        That of a missed call is asked for again, until it has the voice mail that the call waits for.
        """
        legs = self.legs.get(call.session_id, [])
        is_wanted = len(record_ids(legs)) > 1 or self._lacks(call) or _leaves_unknown(call, legs)
        return is_wanted and (call.is_missed or not _has_row(call))

    def shows_nothing(self, call: Call) -> bool:
        """Whether UIS was asked for both, and neither report has the call."""
        return not (self.denied or self.legs.get(call.session_id) or self.rows.get(call.session_id) or _has_row(call))

    def waits_for_row(self, call: Call) -> bool:
        """Whether the call cannot go on without the report row; without the recording of all talks it can."""
        return self._lacks(call) and not _has_row(call)

    def _lacks(self, call: Call) -> bool:
        """Whether the legs are not enough: they do not have the direction, or there are none."""
        return not call.direction or (not self.legs.get(call.session_id) and call.attempts >= WAIT_FOR_LEGS_ATTEMPTS)


def _columns(batch: Sequence[Call]) -> Sequence[str]:
    """Return the further columns that the row is asked for, which not every row has."""
    return REPORT_COLUMNS if report_facts.needed_facts(batch[0].tenant.rules) else ()


def _leaves_unknown(call: Call, legs: Sequence[CallLeg]) -> bool:
    """Whether only the report may tell a number, or whether UIS counts an unanswered call as lost.

    A talk that has no legs yet waits for them, whatever its row says.
    """
    if call.is_lost is False and not legs:
        return False
    is_unanswered = call.direction == "in" and not any(leg.is_talked for leg in legs)
    has_contact = call.contact or any(leg.contact for leg in legs)
    has_number = call.number or any(leg.number for leg in legs)
    return is_unanswered or not has_contact or not has_number


def _has_row(call: Call) -> bool:
    """Return whether the report row is known; a snapshot that cannot be read fails its call later, alone."""
    try:
        return load(call.uis_snapshot).row is not None
    except (Undecryptable, ValueError):
        return True


def _on_error(call: Call, exc: http_client.RemoteError, *, uis: UisConnection, now: datetime) -> Outcome:
    """Return what becomes of a call after a UIS error. `uis` has counted the error; the call's own copy has not."""
    if call.has_legs and now >= recording_selection.deadline(call):
        return _advanced(call)  # Only the recording was missing, and its deadline has passed.
    if call.is_missed and not isinstance(exc, http_client.RemoteUnavailable | http_client.AccessDenied):
        return _advanced(call)  # It is decided, and UIS has no answer to whether there is a voice mail.
    match exc:
        case http_client.RemoteUnavailable(code=errors.LIMIT):
            until = now + timedelta(seconds=exc.wait or 60)
            return Postponed(until=until, reason=FailureReason.UIS_QUOTA, detail=str(exc))
        case http_client.RemoteUnavailable():
            return Unavailable(vendor=uis, error=exc, reason=FailureReason.UIS_UNAVAILABLE)
        case http_client.AccessDenied():
            return Denied(vendor=uis, error=exc, reason=FailureReason.UIS_DENIED)
        case http_client.UnexpectedReply():
            return Unexpected(detail=str(exc))
    return Failed(reason=FailureReason.UIS_REFUSED, detail=str(exc))


def _evaluate(call: Call, *, found: _UisReply, known: Sources, choices: RuleSet, now: datetime) -> Outcome:
    """Evaluate one call with UIS's answer. `call` is this worker's copy; the outcome says what is written."""
    if found.denied and found.waits_for_row(call):
        return _on_error(call, found.denied, uis=call.tenant.uis, now=now)
    legs = found.legs.get(call.session_id, [])
    row = found.rows.get(call.session_id)
    call.uis_snapshot = updated(call.uis_snapshot, row=row, legs=legs)
    if row is not None:
        attribution.note(call, attribution.told_by_row(row, at=now))
    is_asked = call.attempts >= ASKED_ATTEMPTS and found.shows_nothing(call)
    resolution, owner = known.resolve(call, waits_for_legs=call.attempts < WAIT_FOR_LEGS_ATTEMPTS, is_asked=is_asked)
    if resolution.status not in {ResolutionStatus.COMPLETE, ResolutionStatus.MISSED}:
        is_early = bool(legs) or call.attempts < WAIT_FOR_LEGS_ATTEMPTS
        return Retried(reason=FailureReason.LEGS_NOT_READY if is_early else FailureReason.UNKNOWN_TO_UIS)
    changes = pipeline.apply_resolution(call, resolution, owner=owner)
    changes |= {"uis_snapshot": call.uis_snapshot, "has_legs": bool(legs) or is_asked or _has_row(call)}
    changes["awaits_recording"] = recording_selection.is_incomplete(call, resolution, known.staff)
    # Without one here, the row keeps what a notification may have set during the request.
    if url := recording_selection.url(call, resolution):
        changes["recording_url"] = url
    if skipped_by := call.skipping_rule(choices, now=now):
        return Moved(state=State.SKIPPED, changes={**changes, "skip_reason": skipped_by})
    changes |= {"skip_reason": "", **pipeline.without_manager(call)}
    may_ask = not found.denied
    if wait := upload_waits.next_wait(call, resolution, known.staff, may_ask_report=may_ask, now=now):
        reason, until = wait
        return Postponed(until=until, reason=reason, changes=changes)
    return _advanced(call, changes)


def _advanced(call: Call, changes: Mapping[str, Any] | None = None) -> Moved:
    return Moved(state=pipeline.next_state_after_legs(call, call.tenant.rules), changes=changes or {})
