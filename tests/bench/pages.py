"""The pages that read many calls: the call log and the statistics, over one PostgreSQL database.

It is created, filled with SQL, and dropped.
"""

from collections.abc import Iterator

from tests.bench import call_log, large_database, statistics
from tests.bench.figures import Figure

NAME = "connector_pages"


def measure(rows: int) -> Iterator[Figure]:
    """Fill a database, measure each page, and drop the database. Raises Missing."""
    with large_database.filled(NAME, rows):
        yield from statistics.measure_pages()
        yield from call_log.measure_pages()
