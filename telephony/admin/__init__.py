"""What came in, and what each day came to. The log of calls is registered by crm.admin: its pages need both sides."""

from telephony.admin import inbox, ledger

__all__ = ["inbox", "ledger"]
