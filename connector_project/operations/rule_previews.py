"""Previews of rules: a draft is replayed on the stored calls of a period, in portions; nothing leaves the server."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import jobs, local_dates, logging
from connector_project.core.task_queue import enqueue
from connector_project.operations import preview_counts, replays
from connector_project.operations.models import RulePreview
from connector_project.operations.preview_counts import Share
from crm.decisions import Decided, Loader, Status, draft_version
from tenants import rule_versions
from tenants.audit import Actor
from tenants.models import RuleDraft, Tenant, User
from tenants.replay import Difference, Version
from tenants.rules import Rules, dumps, loads

TASK = "connector_project.operations.tasks.preview_rules"
TURN_SECONDS = 5.0  # then other work of the queue has its turn
MOST_DAYS, MOST_CALLS = 31, 50_000
MOST_AT_ONCE, MOST_OF_MANY = 1000, 200  # calls of a client replayed while a page waits; where it is of many clients
KEPT = timedelta(days=7)
TOO_MANY = _("These days have %(count)d calls. A preview takes %(most)d at most: choose fewer days.")
RUNNING = _("Another preview of this client is running: wait for it, or cancel it.")
EDITED = _("Somebody has changed the draft since you opened this page. Look at it again.")

logger = logging.logger(__name__)
State = RulePreview.State


@transaction.atomic
def start(draft: RuleDraft, *, first: date, last: date, seen: str, by: Actor, now: datetime) -> RulePreview:
    """Start the preview of the draft that a page has shown, on these days, both included.

    Raises ValidationError with a sentence if it is not that draft any more, the days have too many calls, or another
    preview of this client is running.
    """
    tenant = draft.tenant
    if rule_versions.stamp(draft) != seen:
        raise ValidationError(EDITED)
    Tenant.objects.lock_row(tenant.pk)  # A concurrent request waits here, and then finds the preview.
    if RulePreview.objects.filter(tenant=tenant, state=State.RUNNING).exists():
        raise ValidationError(RUNNING)
    since, till = period(tenant, first, last)
    counts = {kind: replays.rows(kind, tenant, since=since, till=till).order_by().count() for kind in replays.KINDS}
    if counts["call"] > MOST_CALLS:
        raise ValidationError(TOO_MANY, params={"count": counts["call"], "most": MOST_CALLS})
    preview = RulePreview.objects.create(
        tenant=tenant,
        rules=dumps(draft.value()),
        rule_version=draft.based_on,
        since=since,
        till=till,
        total=sum(counts.values()),
        requested_by=by if isinstance(by, User) else None,
        requested_at=now,
        next_attempt_at=now,
    )
    enqueue(TASK, preview.pk)
    return preview


def period(tenant: Tenant, first: date, last: date) -> tuple[datetime, datetime]:
    """Return the beginning of the first day, and the end of the last, by the client's clock."""
    begin = local_dates.begin(first, zone=tenant.zone)
    return begin, local_dates.begin(last + local_dates.DAY, zone=tenant.zone)


def yesterday(tenant: Tenant, *, now: datetime) -> date:
    return local_dates.day_of(now, zone=tenant.zone) - local_dates.DAY


def cancel(preview: RulePreview, *, now: datetime) -> bool:
    """Cancel a preview; return whether it was still running."""
    running = RulePreview.objects.filter(pk=preview.pk, state=State.RUNNING)
    return bool(running.update(state=State.CANCELLED, ended_at=now, **jobs.released(None)))


def run(preview_id: int, *, now: datetime) -> None:
    """Replay portions for one turn, and queue the next one."""
    rows = RulePreview.objects.select_related("tenant__uis", "tenant__crm", "tenant__rule_version")
    preview = rows.claim_one(preview_id, now=now)
    if preview is None:
        return
    if preview.lost_leases >= jobs.MAX_LOST_LEASES:  # A call that breaks its worker does so every time.
        logger.error("a preview of rules failed each time", preview=preview.pk)
        return RulePreview.objects.release_claimed(preview, None, state=State.FAILED, ended_at=now)
    with RulePreview.objects.returned_on_conflict(preview, now=now):
        has_more = _replay(preview, ends_at=time.monotonic() + TURN_SECONDS)
    if has_more is None:
        return
    with transaction.atomic():
        if has_more:
            RulePreview.objects.release_claimed(preview, now)
            enqueue(TASK, preview.pk)
        else:
            RulePreview.objects.release_claimed(preview, None, state=State.DONE, ended_at=now)


def resume_due(*, now: datetime) -> None:
    """Queue the previews that are due: their worker died, or their push was lost."""
    if RulePreview.objects.is_any_due(now=now):
        with transaction.atomic():
            for pk in RulePreview.objects.requeue(now=now):
                enqueue(TASK, pk)


def delete_old(*, now: datetime) -> int:
    """Delete the previews that ended a week ago."""
    return RulePreview.objects.filter(ended_at__lt=now - KEPT).delete()[0]


def _replay(preview: RulePreview, *, ends_at: float) -> bool | None:
    """Replay portions; return whether there are more. None: it was cancelled, or another worker has it.

    A portion is counted with its position in one UPDATE: a worker that dies repeats one, and counts none twice.
    """
    loader = Loader(preview.tenant, draft_version(preview.tenant, loads(preview.rules)))
    while (kind := preview.position.get("kind", replays.KINDS[0])) != "":
        portion = replays.load_portion(
            loader, kind, since=preview.since, till=preview.till, after=_after(preview.position)
        )
        preview.result = preview_counts.add(
            preview.result, kind, ((one, _difference(loader, one)) for one in portion.decided)
        )
        preview.done += len(portion.decided)
        preview.position = _position(kind, portion.after)
        held = RulePreview.objects.still_claimed(preview).filter(state=State.RUNNING)
        if not held.update(result=preview.result, done=preview.done, position=preview.position, lost_leases=0):
            return None
        if time.monotonic() > ends_at and preview.position["kind"]:
            return True
    return False


def _difference(loader: Loader, one: Decided) -> Difference | None:
    return replays.difference(loader, one) if one.status == Status.DECIDED else None


def _after(position: Mapping[str, Any]) -> tuple[datetime, int] | None:
    return (datetime.fromisoformat(position["at"]), position["pk"]) if "pk" in position else None


def _position(kind: str, after: tuple[datetime, int] | None) -> dict[str, Any]:
    if after is not None:
        return {"kind": kind, "at": after[0].isoformat(), "pk": after[1]}
    following = replays.KINDS[replays.KINDS.index(kind) + 1 :]
    return {"kind": following[0] if following else ""}


def latest(tenant: Tenant, rules: Rules, *, base: int | None) -> RulePreview | None:
    """Return the newest finished preview of exactly these rules, drafted on this version."""
    done = RulePreview.objects.filter(tenant=tenant, state=State.DONE, rule_version=base)
    document = dumps(rules)
    return next((one for one in done.order_by("-requested_at", "-pk")[:10] if one.rules == document), None)


def question(tenant: Tenant, rules: Rules, *, most: int = MOST_AT_ONCE, now: datetime) -> str:
    """Return the question whether more calls may be skipped than usual; "" if no more would be.

    By the newest preview of these rules; without one by yesterday's calls, of which the first `most` are replayed.
    """
    preview = latest(tenant, rules, base=tenant.rule_version_id)
    if preview is not None:
        share, days = preview_counts.share_of(preview.result), describe_days(preview)
    else:
        day = yesterday(tenant, now=now)
        share, days = _share_of_day(tenant, draft_version(tenant, rules), day, most), date_format(day, "j E")
    if not share.is_unusual:
        return ""
    message = gettext(
        "These rules would skip %(after)d of %(decided)d calls of %(days)s; %(before)d were skipped by the rules of "
        "then."
    )
    return message % {"after": share.after, "decided": share.decided, "before": share.before, "days": days}


def describe_days(preview: RulePreview) -> str:
    """Return the days of a preview."""
    zone = preview.tenant.zone
    first, last = (local_dates.day_of(at, zone=zone) for at in (preview.since, preview.till - timedelta(seconds=1)))
    names = [date_format(day, "j E") for day in (first, last)]
    return names[0] if first == last else f"{names[0]} – {names[1]}"


def _share_of_day(tenant: Tenant, draft: Version, day: date, most: int) -> Share:
    if _skipping(draft) == _skipping(Version(tenant.rules, tenant.rule_set)):
        return Share(0, 0, 0)
    since, till = period(tenant, day, day)
    loader, result = Loader(tenant, draft), dict[str, Any]()
    portion = replays.load_portion(loader, "call", since=since, till=till, after=None, size=most)
    found = ((one, _difference(loader, one)) for one in portion.decided)
    return preview_counts.share_of(preview_counts.add(result, "call", found))


def _skipping(version: Version) -> tuple[object, ...]:
    """Return what of a version may skip an upload."""
    return version.rules.owner, version.rules.missed_owner, replace(version.rule_set, shows={})
