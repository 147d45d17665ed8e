"""The SQL of captured queries, whether they were sent as they are or prepared before."""

from django.db import connection


def texts(queries):
    """Return the SQL of each query: of a prepared statement that with which it was prepared."""
    return [_text(query["sql"]) for query in queries]


def _text(sql):
    if not sql.startswith("EXECUTE "):
        return sql
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE name = %s", [sql.split()[1]])
        return cursor.fetchone()[0].partition(" AS ")[2].lstrip()
