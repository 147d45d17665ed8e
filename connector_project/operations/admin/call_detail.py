"""The template context of a call's page: the call, the explanation of its state, and the possible actions."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from connector_project.core import phone_numbers
from connector_project.operations.admin import call_origin
from connector_project.operations.admin.call_list import format_duration, state_label
from connector_project.operations.explain import explain
from connector_project.operations.explain.data import Redactor
from connector_project.operations.explain.labels import filled
from telephony.calls import manual
from telephony.models import Call
from tenants import datetime_display


def page_context(call: Call, *, redactor: Redactor, may_act: bool, now: datetime) -> dict[str, Any]:
    """Return the context of a call loaded by `Call.objects.with_related().with_history()`."""
    explanation = explain(call, redactor=redactor, now=now)
    return {
        "original": call,
        "state": state_label(call),
        "explanation": explanation,
        "details": _details(call, redactor),
        "origin": call_origin.of_call(call, redactor, now=now),
        "timeline": [
            (datetime_display.format_with_seconds(call.tenant, entry.at, now=now), entry)
            for entry in explanation.timeline
        ],
        "requests": [
            (datetime_display.format_with_seconds(call.tenant, sent.at, now=now), sent) for sent in explanation.requests
        ],
        "zone": call.tenant.time_zone,
        "is_masked": not redactor.is_unmasked and redactor.number(call.contact) != call.contact,
        "may_retry": may_act and manual.may_retry(call, now=now),
        "may_skip": may_act and manual.may_skip(call, now=now),
        "links": _links(call),
    }


def _details(call: Call, redactor: Redactor) -> list[tuple[str, str]]:
    return filled(
        (_("client"), call.tenant.name),
        (_("began"), datetime_display.format_full(call.tenant, call.started_at)),
        (_("direction"), call.get_direction_display()),
        (_("customer"), redactor.number(call.contact) or _("hidden number")),
        (_("our number"), phone_numbers.e164(call.number)),
        (_("owner"), call.employee and redactor.text(str(call.employee))),
        (_("manager named by the CRM"), call.crm_user_id),
        (_("how it ended"), _("missed") if call.is_missed else call.get_result_display()),
        (_("talk"), format_duration(call.talk_seconds) if call.talk_seconds else ""),
        (_("wait"), format_duration(call.wait_seconds) if call.wait_seconds else ""),
        (_("session in UIS"), call.session_id),
        (_("id in the CRM"), f"uis-{call.session_id}"),
        (_("source"), call.get_origin_display()),
        (_("attempts at this step"), call.attempts),
    )


def _links(call: Call) -> list[tuple[str, str]]:
    query = {"q": call.session_id, "tenant__id__exact": call.tenant_id}
    return [
        (_("Notifications of this call"), reverse("admin:telephony_notification_changelist", query=query)),
        (_("The client's page"), reverse("admin:tenants_tenant_change", args=[call.tenant_id])),
    ]
