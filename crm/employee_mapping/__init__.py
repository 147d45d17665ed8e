"""Employee mapping: links between UIS employees and CRM users, suggestions, and manual decisions."""

from crm.employee_mapping.actions import link, mark_not_needed, resend_calls, set_store, unlink, unmark_not_needed
from crm.employee_mapping.overview import LOOK_BACK, MappingOverview, Row, UnknownIdRow, load_overview
from crm.employee_mapping.suggestions import MatchReason, Suggestion, Suggestions, suggest

__all__ = [
    "LOOK_BACK",
    "MappingOverview",
    "MatchReason",
    "Row",
    "Suggestion",
    "Suggestions",
    "UnknownIdRow",
    "link",
    "load_overview",
    "mark_not_needed",
    "resend_calls",
    "set_store",
    "suggest",
    "unlink",
    "unmark_not_needed",
]
