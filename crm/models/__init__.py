"""What the CRM asked of us, and the cards we opened there."""

from crm.models.command import Command
from crm.models.popup import Popup

__all__ = ["Command", "Popup"]
