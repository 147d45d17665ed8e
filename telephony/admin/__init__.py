"""What came in, and what each day came to. The log of calls is registered by crm.admin: its pages need both sides."""

from telephony.admin import errands, inbox, ledger

__all__ = ["errands", "inbox", "ledger"]
