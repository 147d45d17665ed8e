"""Employee mapping: links between UIS employees and CRM users, suggestions, and manual decisions."""

from crm.mapping.acts import bind, bring_back, mark_not_needed, send_on, set_store, unbind
from crm.mapping.facts import LOOK_BACK, Mapping, Row, UnknownId, examine
from crm.mapping.suggestions import Ground, Offer, Suggestion, suggest

__all__ = [
    "LOOK_BACK",
    "Ground",
    "Mapping",
    "Offer",
    "Row",
    "Suggestion",
    "UnknownId",
    "bind",
    "bring_back",
    "examine",
    "mark_not_needed",
    "send_on",
    "set_store",
    "suggest",
    "unbind",
]
