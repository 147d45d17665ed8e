"""What the CRM asked of us, what we showed there, and how a client came on."""

from crm.models.activation import Activation
from crm.models.command import Command
from crm.models.lookup import Lookup
from crm.models.popup import Popup
from crm.models.stray import Stray

__all__ = ["Activation", "Command", "Lookup", "Popup", "Stray"]
