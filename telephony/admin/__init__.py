"""Admin of notifications, reconciliation and bulk actions. Calls are registered elsewhere: their pages need the CRM."""

from telephony.admin import errands, inbox, ledger

__all__ = ["errands", "inbox", "ledger"]
