# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Web pages that are read again by themselves: which are due, and how they begin.

Each is an ingestion of the day. Where the plan has no more of them, what is due waits for the next day.
"""

from f.knowledge import queries, resync_queries, runs, versions
from f.lib.database import Connection, tenant

#: How many are begun in one go; the next run goes on.
MOST = 50

#: Versions of a source that are remembered beside the one that is found.
KEPT = 50


def begin_due(connection: Connection) -> dict[str, int]:
    """Begin what is due. Returns how many were `started`, and how many were `put_off` to the next day."""
    started = put_off = 0
    for row in connection.execute(resync_queries.DUE_SOURCES, {"most": MOST}).fetchall():
        organization_id, source_id = str(row["organization_id"]), str(row["source_id"])
        values = {"organization_id": organization_id, "source_id": source_id, "kept": KEPT}
        with tenant(connection, organization_id):
            connection.execute(queries.LOCK_DAY, values)
            if not connection.execute(resync_queries.IS_DUE, values).fetchone():
                continue
            quota = connection.execute(queries.READ_QUOTA, values).fetchone()
            assert quota is not None
            if versions.exceeded(quota, 0, is_new=False):
                put_off += len(connection.execute(resync_queries.PUT_OFF, values).fetchall())
                continue
            connection.execute(queries.WANT_VERSION, values)
            connection.execute(queries.COUNT_INGESTION, values)
            connection.execute(resync_queries.DROP_OLD_VERSIONS, values)
        runs.begin(connection, runs.INGESTION, organization_id, source_id)
        started += 1
    return {"started": started, "put_off": put_off}
