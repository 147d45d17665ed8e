"""Statistics of a period, of one tenant or of all: outcomes by day and hour, and delivery to the CRM."""

from telephony.stats.counts import Calls, OutcomeCounts, StatsRow, by_employee, by_tenant, calls, delivered
from telephony.stats.period import Period

__all__ = ["Calls", "OutcomeCounts", "Period", "StatsRow", "by_employee", "by_tenant", "calls", "delivered"]
