"""The desk: what staff see of the CRM's side, and the page and the list of clients, whose buttons need both sides."""

from crm.admin import records

__all__ = ["records"]
