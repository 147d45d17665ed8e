"""Models: commands of the CRM, pop-ups, activations, incidents and alerts."""

from crm.models.activation import Activation
from crm.models.command import Command
from crm.models.incident import Incident
from crm.models.lookup import Lookup
from crm.models.popup import Popup
from crm.models.post import Post
from crm.models.rhythm import Rhythm
from crm.models.stray import Stray

__all__ = ["Activation", "Command", "Incident", "Lookup", "Popup", "Post", "Rhythm", "Stray"]
