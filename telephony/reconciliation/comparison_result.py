"""The result of comparing a period of UIS's report with our rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from telephony.models import Call
from telephony.reconciliation.stats import ReconciliationStats

SAMPLE = 5


@dataclass(kw_only=True)
class ComparisonResult:
    """The result of comparing a period."""

    since: datetime
    till: datetime  # calls that began before this are compared
    stats: ReconciliationStats = field(default_factory=ReconciliationStats)
    found: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # of the found ones, by skip reason
    sample: list[Call] = field(default_factory=list)
    previewed: list[Call] = field(default_factory=list)  # by a dry run: the calls that it would create, in order
    days: set[date] = field(default_factory=set)  # of the reported calls
    # Reported calls without a row: session and start. A negative session is a row that could not be read.
    missing: dict[int, datetime] = field(default_factory=dict)
    # Whether UIS sent all rows that it counts, and all of them could be compared.
    is_complete: bool = True

    def show(self, calls: Iterable[Call]) -> None:
        """Add calls to the sample; if it is full, a call for the CRM replaces a skipped one."""
        for call in calls:
            skipped = next((one for one in self.sample if one.skip_reason), None)
            if len(self.sample) >= SAMPLE and skipped is not None and not call.skip_reason:
                self.sample.remove(skipped)
            if len(self.sample) < SAMPLE:
                self.sample.append(call)
